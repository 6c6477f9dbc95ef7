"""A chunk that waits behind another can be had back while it has not begun."""

from engine_driver import accounted, lost, results

from farm.batch import spec


def _blocked(driver, gate):
    """A chunk that runs until a file appears."""
    call = spec.CommandCall(f"until test -e {gate}; do sleep 0.01; done")
    return driver.submit(driver.program(call, 1, code=""), 0, 1)


def test_what_waits_behind_a_long_task_comes_back(make_driver, tmp_path):
    driver, gate = make_driver(2), tmp_path / "gate"
    blocked = {_blocked(driver, gate).id, _blocked(driver, gate).id}
    batch = driver.program("version", 10)
    driver.submit(batch, 3, 5, ahead=True)
    driver.engine.take_back()
    driver.until(lambda: lost(driver.events) == [3, 4])
    assert {chunk.id for chunk in driver.engine.running} == blocked
    assert driver.engine.ahead == 2
    driver.submit(batch, 3, 5, ahead=True)
    gate.touch()
    driver.events.clear()
    events = [event for event in driver.finish() if event.batch == batch]
    assert set(results(events)) == {3, 4}


def test_a_chunk_that_has_begun_is_not_given_back(driver):
    driver.submit(driver.program("seconds", 10), 0, 1)
    driver.engine.take_back()
    events = driver.finish()
    assert results(events) == {0: 0}
    assert lost(events) == []


def test_what_waits_for_another_slot_is_given_back_at_once(driver, tmp_path):
    gate = tmp_path / "gate"
    driver.submit(driver.program("seconds", 10, code="a"), 0, 1)
    driver.finish()
    _blocked(driver, gate)
    driver.submit(driver.program("version", 10, code="b"), 4, 5, ahead=True)
    driver.engine.take_back()
    assert lost(driver.engine.poll()) == [4]
    gate.touch()
    driver.finish()


def test_taking_back_races_with_beginning(driver):
    """However it ends, each task is done or given back, and never both."""
    batch = driver.program("version", 1000)
    done, back = [], []
    for index in range(0, 400, 2):
        driver.submit(batch, index, index + 1)
        driver.submit(batch, index + 1, index + 2, ahead=True)
        driver.engine.take_back()
        events = driver.finish()
        done += results(events)
        back += lost(events)
    assert sorted(done + back) == list(range(400))
    assert set(range(0, 400, 2)) <= set(done)


def test_what_comes_behind_a_long_task_of_its_chunk_comes_back_while_that_runs(driver, tmp_path):
    gate = tmp_path / "gate"
    wait = f"test {{index}} != 2 || until test -e {gate}; do sleep 0.01; done"
    batch = driver.program(spec.CommandCall(wait), 10, code="")
    chunk = driver.submit(batch, 0, 10)
    driver.until(lambda: {0, 1} <= set(results(driver.events)))
    driver.engine.take_back()
    driver.until(lambda: lost(driver.events))
    assert lost(driver.events) == list(range(3, 10))
    assert [one.id for one in driver.engine.running] == [chunk.id]
    gate.touch()
    events = driver.finish()
    assert set(results(events)) == {0, 1, 2}
    accounted(events, 0, 10)


def test_what_is_left_of_another_batch_is_not_asked_for(driver, tmp_path):
    gate = tmp_path / "gate"
    wait = spec.CommandCall(f"until test -e {gate}; do sleep 0.01; done")
    batch = driver.program(wait, 10, code="")
    driver.submit(batch, 0, 2)
    driver.submit(batch, 2, 4, ahead=True)
    driver.engine.take_back(batch + 1)
    gate.touch()
    events = driver.finish()
    assert lost(events) == []
    assert set(results(events)) == {0, 1, 2, 3}
