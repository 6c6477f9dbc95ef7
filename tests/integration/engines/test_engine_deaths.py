"""Slots that die: who is blamed, what is lost, and that everything else goes on."""

import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from engine_driver import Part, accounted, alive, failures, group_members, lost, results, wait_until

from farm.batch import space
from farm.engines import launch
from farm.engines.base import EngineError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA as Linux has it")


def waiting(tmp_path, count):
    """The last of these tasks waits for the file ``go``."""
    return space.matrix(
        {
            "index": space.Integers(0, count, 1),
            "directory": space.Literal([str(tmp_path)]),
            "last": space.Literal([count - 1]),
        }
    )


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("kill", ["SIGKILL", "memory"]),
        ("exit", ["exit code 1"]),
        pytest.param("allocate", ["memory limit of 256 MiB"], marks=LINUX),
    ],
)
def test_one_task_that_ends_its_process_among_ten_thousand(make_driver, way, says):
    driver = make_driver(2)
    points = space.matrix(
        {
            "index": space.Integers(0, 10_000, 1),
            "victim": space.Literal([4321]),
            "way": space.Literal([way]),
        }
    )
    batch = driver.program("die_at", points, memory=256 << 20 if way == "allocate" else None)
    events = driver.run_all(batch, 10_000, 500)
    assert results(events) == {index: index for index in range(10_000) if index != 4321}
    (failure,) = failures(events).values()
    assert (failure.index, failure.kind) == (4321, "crash")
    for attempt in range(2, 4):
        (failure,) = failures(driver.run(batch, 4321, 4322)).values()
        assert (failure.index, failure.kind) == (4321, "crash"), attempt
    for text in says:
        assert text in failure.message


def test_exit_in_a_task_is_a_crash_and_names_the_code(driver):
    events = driver.run(driver.program("exit_at_two", 5), 0, 5)
    assert failures(events)[2].kind == "crash"
    assert "exit code 1" in failures(events)[2].message
    assert lost(events)[-2:] == [3, 4]
    accounted(events, 0, 5)


def test_the_chunk_behind_a_crash_is_lost_whole_and_not_blamed(driver):
    batch = driver.program("exit_at_two", 9)
    driver.submit(batch, 2, 3)
    driver.submit(batch, 0, 9, ahead=True)
    events = driver.finish()
    assert list(failures(events)) == [2]
    assert lost(events) == list(range(9))


def test_a_signal_is_named(driver):
    (failure,) = failures(driver.run(driver.program("segfault", 1), 0, 1)).values()
    assert "SIGSEGV" in failure.message


def test_a_slot_that_dies_between_tasks_blames_none_and_is_replaced(driver):
    batch = driver.program("pid", 2)
    (first,) = results(driver.run(batch, 0, 1)).values()
    os.kill(first, signal.SIGKILL)
    driver.until(lambda: driver.engine.pids not in ([first], []))
    events = driver.run(batch, 1, 2)
    assert failures(events) == {}
    assert results(events)[1] != first


def test_a_slot_that_died_idle_does_not_blame_its_last_task_for_the_next_chunk(driver):
    batch = driver.program("square", 9)
    driver.run(batch, 0, 2)
    os.kill(driver.engine.pids[0], signal.SIGKILL)
    driver.submit(batch, 1, 5)
    events = driver.finish()
    assert failures(events) == {}
    assert lost(events) == [1, 2, 3, 4]


def test_a_neighbour_goes_on(make_driver, tmp_path):
    driver = make_driver(2)
    points = space.listed([{"index": 0, "directory": str(tmp_path), "last": 0}])
    waiting = driver.program("wait_for", points)
    driver.submit(waiting, 0, 1)
    events = driver_run_crash(driver)
    assert failures(events)[2].kind == "crash"
    (tmp_path / "go").touch()
    assert results(driver.finish()) == {0: 0}
    assert (tmp_path / "attempts").read_text() == "0\n"


def driver_run_crash(driver):
    """A crash in the other slot, while one is busy."""
    driver.submit(driver.program("exit_at_two", 3), 2, 3)
    driver.until(lambda: len(driver.engine.running) == 1)
    events, driver.events = driver.events, []
    return events


def test_a_hundred_random_kills_leave_every_index_accounted_for_once(make_driver):
    driver = make_driver(2)
    chance = random.Random(7)
    batch = driver.program("noop", 10**9)
    killed, at = 0, 0
    while killed < 100:
        seen = len(driver.events)
        # Two of three kills hit slots at work, the third may hit one that has not begun.
        while killed % 3 and not any(isinstance(event, Part) for event in driver.events[seen:]):
            while driver.engine.idle:
                driver.submit(batch, at, at + 20_000)
                at += 20_000
            driver.poll(0.01)
        for _ in range(chance.randrange(4)):
            driver.poll(0.01)
        for pid in chance.sample(driver.engine.pids, len(driver.engine.pids) and 1):
            with contextlib.suppress(ProcessLookupError):  # dead already, and not yet seen
                os.kill(pid, signal.SIGKILL)
                killed += 1
    events = driver.finish()
    accounted(events, 0, at)
    assert {failure.kind for failure in failures(events).values()} <= {"crash"}
    assert 0 < len(failures(events)) <= 100
    assert results(events)


def test_the_death_of_the_fork_server_is_survived(driver):
    batch = driver.program("pid", 2)
    (slot,) = results(driver.run(batch, 0, 1)).values()
    server = int(Path(f"/proc/{slot}/stat").read_text().rpartition(")")[2].split()[1])
    assert server != os.getpid()
    os.kill(server, signal.SIGKILL)
    driver.until(lambda: driver.engine.pids not in ([slot], []))
    assert results(driver.run(batch, 1, 2))[1] != slot
    wait_until(lambda: not alive(slot))


def test_slots_that_never_live_are_given_up(make_driver, monkeypatch):
    driver = make_driver(1)
    start = launch.start_process

    def start_and_kill(context, number, progress, rooms):
        process, link = start(context, number, progress, rooms)
        os.kill(process.pid, signal.SIGKILL)
        return process, link

    monkeypatch.setattr("farm.engines.processes.start_process", start_and_kill)
    os.kill(driver.engine.pids[0], signal.SIGKILL)
    with pytest.raises(EngineError, match=r"10 slots in a row .*SIGKILL"):
        driver.until(lambda: False)


def test_a_slot_that_cannot_be_started_is_tried_again(make_driver, monkeypatch):
    driver = make_driver(1)
    start = launch.start_process
    tries = []

    def start_third_time(context, number, progress, rooms):
        tries.append(number)
        if len(tries) < 3:
            raise BlockingIOError("no more processes")
        return start(context, number, progress, rooms)

    monkeypatch.setattr("farm.engines.processes.start_process", start_third_time)
    os.kill(driver.engine.pids[0], signal.SIGKILL)
    driver.until(lambda: len(tries) == 3)
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}


def test_a_task_that_closes_low_descriptors_does_not_reach_the_pipe(driver, tmp_path):
    batch = driver.program("close_low_descriptors", waiting(tmp_path, 2))
    driver.submit(batch, 0, 2)
    driver.until(lambda: results(driver.events) == {0: 0})
    (tmp_path / "go").touch()
    assert results(driver.finish()) == {0: 0, 1: 1}


def test_a_task_that_closes_every_descriptor_ends_its_slot(driver):
    (failure,) = failures(driver.run(driver.program("close_all_descriptors", 1), 0, 1)).values()
    assert failure.kind == "crash"
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}


def test_a_task_that_forks_and_returns_twice_reports_once(driver):
    events = driver.run(driver.program("fork_and_return_twice", 4), 0, 4)
    assert results(events) == dict.fromkeys(range(4), "parent")
    (slot,) = driver.engine.pids
    wait_until(lambda: group_members(slot) == [slot])


def test_finished_tasks_arrive_while_a_long_one_runs(driver, tmp_path):
    driver.submit(driver.program("wait_for", waiting(tmp_path, 5)), 0, 5)
    wait_until(lambda: (tmp_path / "attempts").exists())
    wait_until(lambda: (tmp_path / "attempts").read_text().endswith("4\n"))
    began = time.monotonic()
    driver.until(lambda: len(results(driver.events)) == 4)
    assert time.monotonic() - began < 2.0  # 0.05 on a machine that is not busy
    assert len(driver.engine.running) == 1
    (tmp_path / "go").touch()
    events = driver.finish()
    assert sorted(results(events)) == [0, 1, 2, 3, 4]
    assert sum(part.stop == 5 for part in events if isinstance(part, Part)) == 1


@pytest.mark.parametrize("call", ["wait_for", "quick_then_busy"])
def test_a_slot_that_dies_in_a_long_task_takes_no_finished_result_along(driver, tmp_path, call):
    """Whether the long task waits or computes in Python.

    A task that holds the interpreter in one C call keeps back what ended less than 50 ms before
    it began: no thread of the slot can send while it does.
    """
    driver.submit(driver.program(call, waiting(tmp_path, 8)), 0, 8)
    wait_until(lambda: (tmp_path / "attempts").exists())
    wait_until(lambda: (tmp_path / "attempts").read_text().endswith("7\n"))
    time.sleep(0.2)
    os.kill(driver.engine.pids[0], signal.SIGKILL)  # nobody has read from the slot until now
    events = driver.finish()
    assert results(events) == {index: index for index in range(7)}
    assert [failure.kind for failure in failures(events).values()] == ["crash"]
    assert lost(events) == []


def test_stop_leaves_no_process_and_no_descriptor(make_driver):
    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    make_driver(3).engine.stop()  # the fork server and the shared memory stay, to be used again
    before = descriptors()
    driver = make_driver(3)
    pids = driver.engine.pids
    batch = driver.program("exit_at_two", 100)
    driver.run(batch, 2, 3)
    driver.run(driver.program("square", 3), 0, 3)
    pids += driver.engine.pids
    driver.engine.stop()
    driver.engine.stop()
    assert [pid for pid in pids if alive(pid)] == []
    assert descriptors() == before
    assert driver.engine.pids == []


def test_stop_ends_tasks_that_ignore_sigterm(make_driver, tmp_path):
    driver = make_driver(1)
    points = space.listed([{"index": 1, "directory": str(tmp_path)}])
    driver.submit(driver.program("hang", points), 0, 1)
    wait_until(lambda: (tmp_path / "attempts").exists())
    (slot,) = driver.engine.pids
    time_before = time.monotonic()
    driver.engine.stop(grace=0.2)
    assert not alive(slot)
    assert time.monotonic() - time_before < 2
