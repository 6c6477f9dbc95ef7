"""Timeouts and cancelling: what runs is killed with all it started, what waits is dropped."""

import os
import sys
import time
from pathlib import Path

import pytest
from engine_driver import accounted, alive, failures, group_members, lost, results, wait_until

from farm.batch import space, spec

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def hanging(tmp_path, count):
    """Task 1 of these hangs and ignores SIGTERM."""
    return space.matrix(
        {"index": space.Integers(0, count, 1), "directory": space.Literal([str(tmp_path)])}
    )


def test_a_busy_task_that_ignores_sigterm_is_over_in_time(driver, tmp_path):
    batch = driver.program("hang", hanging(tmp_path, 4), timeout=1.0)
    driver.submit(batch, 0, 4)
    wait_until(lambda: (tmp_path / "attempts").exists())
    wait_until(lambda: (tmp_path / "attempts").read_text().endswith("1\n"))
    began = time.monotonic()
    events = driver.finish()
    assert 0.9 < time.monotonic() - began < 1.5
    failure = failures(events)[1]
    assert (failure.kind, failure.type_name) == ("timeout", "")
    assert "timeout of 1 s" in failure.message
    assert 1.0 <= failure.seconds < 1.5
    assert lost(events)[-2:] == [2, 3]
    accounted(events, 0, 4)
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}


def test_an_exception_made_of_sigterm_is_still_a_timeout(driver):
    batch = driver.program("exit_on_term", 2, timeout=0.3)
    events = driver.run(batch, 0, 1)
    assert [failure.kind for failure in failures(events).values()] == ["timeout"]
    accounted(events, 0, 1)


def test_the_engine_asks_to_be_polled_when_a_limit_is_reached(driver, tmp_path):
    assert driver.engine.timeout(time.monotonic()) is None
    batch = driver.program("hang", hanging(tmp_path, 2), timeout=50.0)
    driver.submit(batch, 1, 2)
    assert driver.engine.timeout(time.monotonic()) <= 50.1
    wait_until(lambda: (tmp_path / "attempts").exists())
    now = time.monotonic()
    assert 20.0 < driver.engine.timeout(now) <= 50.0
    assert driver.engine.timeout(now + 10) == pytest.approx(driver.engine.timeout(now) - 10)


def test_short_tasks_do_not_add_up_to_a_timeout(driver):
    batch = driver.program("nap", 150, timeout=1.0)
    began = time.monotonic()
    events = driver.run(batch, 0, 150)
    assert len(results(events)) == 150
    assert time.monotonic() - began > 1.5


def test_an_import_that_hangs_is_timed_out(driver, tmp_path):
    (tmp_path / "slow_module.py").write_text("import time\ntime.sleep(100)\n")
    call = spec.PythonCall("slow_module:f")
    batch = driver.program(call, 3, timeout=0.3, code=None)
    program, limit, _ = driver.engine._programs[batch]
    slow = type(program)(batch, program.spec, "slow", str(tmp_path))
    driver.engine._programs[batch] = slow, limit, "slow"
    events = driver.run(batch, 0, 3)
    assert failures(events)[0].kind == "timeout"
    assert lost(events) == [1, 2]


@pytest.mark.parametrize(
    "call", ["sleep_for_ever", "ignore_sigterm", "block_signals", "hold_interpreter"]
)
def test_a_task_that_blocks_for_ever_is_gone_in_time(driver, tmp_path, call):
    (slot,) = driver.engine.pids
    batch = driver.program(call, hanging(tmp_path, 3), timeout=1.0)
    events = driver.run(batch, 1, 3)
    took = time.monotonic() - float((tmp_path / "began-1").read_text())
    assert failures(events)[1].kind == "timeout"
    assert 0.9 < took < 1.5
    assert lost(events) == [2]
    assert group_members(slot) == []
    wait_until(lambda: not Path(f"/proc/{slot}").exists(), patience=1.0)  # no zombie either
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}


@pytest.mark.parametrize(
    "way", ["exception", "result", "result, meanwhile", "result and exception"]
)
def test_what_hangs_before_an_outcome_can_be_told_is_timed_out(driver, way):
    points = space.matrix({"index": space.Integers(0, 4, 1), "way": space.Literal([way])})
    events = driver.run(driver.program("disturbing_tasks:endless", points, timeout=0.5), 0, 4)
    (failure,) = failures(events).values()
    assert (failure.index, failure.kind) == (3, "timeout")
    accounted(events, 0, 4)
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}


@pytest.mark.parametrize(
    ("command", "members"),
    [
        ("sleep 1000 & sleep 1000", 4),
        ("sh -c 'sleep 1000 & sleep 1000'", 4),
        ("trap '' TERM; while :; do sleep 0.05; done", 2),
        # Only what the shell started ignores SIGTERM, so the slot is dead before it.
        ("sh -c \"trap '' TERM; sleep 1000 & sleep 1000\" & sleep 1000", 5),
    ],
)
def test_a_command_that_is_timed_out_leaves_no_process(driver, command, members):
    batch = driver.program(spec.CommandCall(command), 1, timeout=1.0, code="")
    (slot,) = driver.engine.pids
    driver.submit(batch, 0, 1)
    wait_until(lambda: len(group_members(slot)) >= members)
    events = driver.finish()
    (failure,) = failures(events).values()
    assert failure.kind == "timeout"
    assert failure.seconds < 1.5

    def gone():
        driver.poll(0.01)
        return group_members(slot) == []

    wait_until(gone, patience=0.5)
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}


def test_cancel_kills_what_runs_and_loses_the_rest(driver, tmp_path):
    batch = driver.program("hang", hanging(tmp_path, 4))
    driver.submit(batch, 1, 4)
    wait_until(lambda: (tmp_path / "attempts").exists())
    (slot,) = driver.engine.pids
    driver.engine.cancel(batch)
    events = driver.finish()
    assert failures(events) == {}
    assert lost(events) == [1, 2, 3]
    assert not alive(slot)
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}


def test_cancel_drops_what_waits_and_lets_the_other_batch_run(driver, tmp_path):
    points = space.listed([{"index": 0, "directory": str(tmp_path), "last": 0}])
    waiting = driver.program("wait_for", points)
    driver.submit(waiting, 0, 1)
    wait_until(lambda: (tmp_path / "attempts").exists())
    (slot,) = driver.engine.pids
    other = driver.program("hang", hanging(tmp_path, 3))
    driver.submit(other, 0, 3, ahead=True)
    driver.engine.cancel(other)
    driver.until(lambda: lost(driver.events))  # the slot has heard that it is not to begin them
    (tmp_path / "go").touch()
    events = driver.finish()
    assert results(events) == {0: 0}
    assert len(lost(events)) == 3
    assert (tmp_path / "attempts").read_text() == "0\n"
    assert driver.engine.pids == [slot]


def test_cancel_of_a_chunk_that_began_behind_another_kills_it(driver, tmp_path):
    first = driver.program("square", 1)
    other = driver.program("hang", hanging(tmp_path, 2))
    driver.submit(first, 0, 1)
    driver.submit(other, 1, 2, ahead=True)
    wait_until(lambda: (tmp_path / "attempts").exists())
    driver.engine.cancel(other)
    events = driver.finish()
    assert results(events) == {0: 0}
    assert lost(events) == [1]


def test_cancel_leaves_other_batches_alone(driver):
    batch = driver.program("square", 5)
    driver.submit(batch, 0, 5)
    driver.engine.cancel(batch + 1)
    assert len(results(driver.finish())) == 5


def test_a_slot_leads_its_own_session_and_hears_no_ctrl_c(driver):
    (slot,) = driver.engine.pids
    assert results(driver.run(driver.program("group", 1), 0, 1))[0] == (slot, slot, slot)
    assert os.getpgid(0) != slot
    assert results(driver.run(driver.program("interrupt", 1), 0, 1)) == {0: 0}


def test_standard_input_is_empty_and_sigterm_default(driver):
    assert results(driver.run(driver.program("standard", 1), 0, 1)) == {0: ("", b"", True)}


def test_commands_do_not_inherit_the_pipe(driver):
    (found,) = results(driver.run(driver.program("descriptors_of_command", 1), 0, 1)).values()
    assert set(found) <= {"0", "1", "2", "3"}


def test_tasks_may_have_processes_of_their_own(driver):
    assert results(driver.run(driver.program("nested", 1), 0, 1)) == {0: [0, 1, 4]}
