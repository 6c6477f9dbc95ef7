"""The limit on memory: whose failure it is, and that nothing of it is left for the next tasks."""

import logging
import sys

import pytest
from engine_driver import accounted, failures, lost, results

from farm.batch import space, spec
from farm.engines import processes
from farm.engines.base import Ended
from farm.engines.respawn import Respawn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA as Linux has it")

MIB = 1 << 20
LIMIT = 200 * MIB


def sized(*sizes):
    """Task i of these gets all sizes, MiB."""
    return space.matrix(
        {"index": space.Integers(0, len(sizes), 1), "sizes": space.Literal([list(sizes)])}
    )


def only_crash(events, index):
    """The message of the only failure, which is a crash of this task."""
    failed = failures(events)
    assert list(failed) == [index]
    assert failed[index].kind == "crash"
    return failed[index].message


@pytest.fixture
def no_deaths(monkeypatch):
    """A slot that dies with nobody to blame fails the test."""

    def after_death(self, now, reason):
        raise AssertionError(f"counted as a death: {reason}")

    monkeypatch.setattr(Respawn, "after_death", after_death)


def test_a_task_beyond_the_limit_crashes_alone_and_takes_its_slot(driver, no_deaths):
    (before,) = driver.engine.pids
    batch = driver.program("allocate", sized(1, 50, 1, 500, 1, 1), memory=LIMIT)
    events = driver.run(batch, 0, 6)
    message = only_crash(events, 3)
    assert message == "the task needed more than its memory limit of 200 MiB (MemoryError)"
    assert "in allocate" in failures(events)[3].traceback
    assert results(events) == {0: MIB, 1: 50 * MIB, 2: MIB}
    assert lost(events) == [4, 5]
    driver.until(lambda: driver.engine.idle)
    assert driver.engine.pids != [before]
    assert results(driver.run(batch, 4, 6)) == {4: MIB, 5: MIB}


def test_the_limit_is_of_the_batch_and_the_slot_stays(driver):
    (before,) = driver.engine.pids
    free = driver.program("soft_limit", 3)
    limited = driver.program("soft_limit", 3, memory=LIMIT)
    found = [results(driver.run(batch, 0, 1))[0] for batch in (free, limited, free)]
    assert found[1] == LIMIT
    assert found[0] == found[2] != LIMIT
    large = driver.program("allocate", sized(500))
    assert results(driver.run(large, 0, 1)) == {0: 500 * MIB}
    assert driver.engine.pids == [before]


def test_what_a_task_left_does_not_fail_the_next_ones(driver, no_deaths):
    batch = driver.program("keep", sized(120, 120, 120, 120), memory=LIMIT)
    first = driver.run(batch, 0, 4)
    only_crash(first, 1)
    assert lost(first) == [2, 3]
    assert set(results(driver.run(batch, 2, 3))) == {2}


def test_what_another_batch_left_does_not_fail_the_tasks(driver, no_deaths):
    (slot,) = set(results(driver.run(driver.program("keep", sized(120)), 0, 1)).values())
    batch = driver.program("keep", sized(120), memory=LIMIT)
    first = driver.run(batch, 0, 1)
    assert (lost(first), failures(first)) == ([0], {})
    assert not first[-1].begun
    assert results(driver.run(batch, 0, 1))[0] != slot


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("own_kind", "(NoRoom: unable to allocate an array)"),
        ("allocate_in_group", "(Exception"),
        ("lost_kind", "(MemoryError)"),
    ],
)
def test_subclasses_and_groups_count_as_well(driver, no_deaths, call, says):
    batch = driver.program(call, 2, memory=LIMIT)
    message = only_crash(driver.run(batch, 0, 2), 0)
    assert says in message


def test_memory_taken_to_the_last_byte(driver, no_deaths):
    batch = driver.program("fill", 3, memory=LIMIT)
    for index in range(3):
        events = driver.run(batch, index, index + 1)
        assert "memory limit of 200 MiB (" in only_crash(events, index)
        assert "in fill" in failures(events)[index].traceback


def test_a_task_that_leaves_nothing_fails_no_neighbours_result(driver, no_deaths):
    points = space.matrix({"index": space.Integers(0, 300, 1), "full": space.Literal([150])})
    batch = driver.program("fill_quietly", points, memory=LIMIT)
    events = driver.run(batch, 0, 300)
    accounted(events, 0, 300)
    # Itself, or one after it that found nothing left: who asks first is a matter of luck.
    assert len(failures(events)) <= 1
    assert all(index >= 150 for index in failures(events))
    assert set(range(150)) <= set(results(events))


def test_a_result_that_cannot_be_pickled_within_the_limit(driver, no_deaths):
    batch = driver.program("full_result", sized(0, 0, 30, 120, 0, 0), memory=LIMIT)
    events = driver.run(batch, 0, 6)
    message = only_crash(events, 3)
    assert "more to have its result pickled than its memory limit of 200 MiB" in message
    accounted(events, 0, 6)
    assert set(results(events)) >= {0, 1, 2}
    assert not any(event.begun for event in events if isinstance(event, Ended))


def test_an_import_beyond_the_limit(driver, no_deaths, tmp_path):
    (tmp_path / "large_module.py").write_text("held = bytearray(1 << 30)\ndef f(index): pass\n")
    batch = driver.program(spec.PythonCall("large_module:f"), 3, memory=LIMIT, code=None)
    program, limit, _ = driver.engine._programs[batch]
    large = type(program)(batch, program.spec, "large", str(tmp_path))
    driver.engine._programs[batch] = large, limit, "large"
    events = driver.run(batch, 0, 3)
    message = only_crash(events, 0)
    assert "memory limit of 200 MiB (importing the module 'large_module' failed" in message
    assert lost(events) == [1, 2]


@pytest.mark.parametrize("memory", [1, MIB, 20 * 10**6])
def test_a_limit_below_a_bare_slot_says_so_and_costs_no_slot(driver, no_deaths, memory):
    pids = driver.engine.pids
    failed = failures(driver.run(driver.program("square", 3, memory=memory), 0, 3))
    assert [failure.kind for failure in failed.values()] == ["crash"] * 3
    assert "MB that a bare slot needs" in failed[0].message.replace("MiB", "MB")
    assert driver.engine.pids == pids
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}


def test_limits_near_a_bare_slot_end_every_task_somehow(driver, no_deaths):
    """No limit makes a slot hang or die over and over.

    A slot in which other batches have left too much gives the chunk back; a fresh one runs it.
    """
    for memory in range(20 * MIB, 30 * MIB, 400_000):
        batch = driver.program("later", 2, memory=memory)
        events = driver.run_all(batch, 1, 1)
        assert len(results(events)) + len(failures(events)) == 1
        assert {failure.kind for failure in failures(events).values()} <= {"crash"}


def test_without_a_limit_it_stays_an_error(driver):
    (before,) = driver.engine.pids
    (failure,) = failures(driver.run(driver.program("own_kind", 1), 0, 1)).values()
    assert (failure.kind, failure.message) == ("error", "unable to allocate an array")
    assert driver.engine.pids == [before]


def test_a_process_that_aborts_for_want_of_memory_is_a_crash_as_any(driver):
    batch = driver.program("abort_without_memory", 3, memory=LIMIT)
    message = only_crash(driver.run(batch, 1, 3), 1)
    assert "SIGABRT" in message


def test_commands_inherit_it_and_fail_by_their_own_code(driver):
    code = "import sys\ntry: bytearray(1 << 30)\nexcept MemoryError: sys.exit(9)"
    call = spec.CommandCall([sys.executable, "-c", code])
    (before,) = driver.engine.pids
    (failure,) = failures(driver.run(driver.program(call, 1, code="", memory=LIMIT), 0, 1)).values()
    assert (failure.kind, failure.type_name) == ("error", "CommandError")
    assert "exit code 9" in failure.message
    assert set(results(driver.run(driver.program(call, 1, code=""), 0, 1))) == {0}
    assert driver.engine.pids == [before]


def test_a_platform_without_limits_is_named_once(driver, monkeypatch, caplog):
    monkeypatch.setattr(processes, "SUPPORTED", False)
    processes._warn_of_memory.cache_clear()
    with caplog.at_level(logging.WARNING, "farm"):
        for _ in range(3):
            driver.program("square", 1, memory=LIMIT)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "without it" in caplog.text
