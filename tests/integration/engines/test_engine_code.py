"""Two versions of one module never meet in a slot."""

from engine_driver import results

from farm.batch import spec


def test_another_version_gets_a_new_slot(driver):
    first = driver.program("version", 10, code="a")
    second = driver.program("version", 10, code="b")
    (slot,) = driver.engine.pids
    assert results(driver.run(first, 0, 1)) == {0: "a"}
    assert driver.engine.pids == [slot]
    assert results(driver.run(second, 0, 1)) == {0: "b"}
    (other,) = driver.engine.pids
    assert other != slot
    assert results(driver.run(first, 1, 2)) == {1: "a"}


def test_a_slot_that_has_the_code_is_preferred(make_driver):
    driver = make_driver(2)
    first = driver.program("pid", 10, code="a")
    second = driver.program("version", 10, code="b")
    driver.run(second, 0, 1)
    (holder,) = set(results(driver.run(first, 0, 1)).values())
    slots = set(driver.engine.pids)
    for index in range(1, 6):
        assert results(driver.run(first, index, index + 1)) == {index: holder}
        assert results(driver.run(second, index, index + 1)) == {index: "b"}
    assert set(driver.engine.pids) == slots


def test_shipped_code_never_meets_what_is_installed(driver):
    driver.run(driver.program("version", 1), 0, 1)
    (slot,) = driver.engine.pids
    batch = driver.program(spec.PythonCall("os:getpid"), code="")
    (other,) = results(driver.run(batch, 0, 1, [((), {})])).values()
    assert other != slot
    driver.run(driver.program("version", 1), 0, 1)
    assert driver.engine.pids != [other]


def test_a_command_replaces_no_slot(driver):
    driver.run(driver.program("version", 1), 0, 1)
    (slot,) = driver.engine.pids
    driver.run(driver.program(spec.CommandCall("true"), 1, code=""), 0, 1)
    assert driver.engine.pids == [slot]


def test_another_version_may_wait_behind_a_chunk(driver):
    first = driver.program("seconds", 10, code="a")
    second = driver.program("version", 10, code="b")
    driver.submit(first, 0, 2)
    driver.submit(second, 5, 6, ahead=True)
    assert len(driver.engine.running) == 2
    assert driver.engine.ahead == 0
    assert results(driver.finish()) == {0: 0, 1: 1, 5: "b"}


def test_what_waits_for_another_slot_can_be_cancelled(driver):
    first = driver.program("seconds", 10, code="a")
    second = driver.program("version", 10, code="b")
    driver.submit(first, 0, 2)
    chunk = driver.submit(second, 5, 6, ahead=True)
    driver.engine.cancel(second)
    ended = {event.chunk: event.lost for event in driver.finish() if hasattr(event, "lost")}
    assert ended[chunk.id] == [(5, 6)]
    assert len(ended) == 2


def test_what_waits_for_another_slot_survives_a_crash_before_it(driver):
    first = driver.program("exit_at_two", 10, code="a")
    second = driver.program("version", 10, code="b")
    driver.submit(first, 2, 3)
    driver.submit(second, 5, 6, ahead=True)
    assert results(driver.finish()) == {5: "b"}
