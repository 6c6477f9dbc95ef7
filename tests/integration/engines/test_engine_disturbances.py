"""Tasks that get in the way of their slot's own work: it costs them their slot, and nobody else."""

import os

import pytest
from engine_driver import accounted, failures, results, wait_until

from farm.batch import space
from farm.engines.respawn import MAX_DEATHS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def test_alarms_that_tasks_leave_behind_mix_up_no_results(driver):
    """Of their own batch, or of another one that the slot runs after it."""
    left = driver.program("disturbing_tasks:alarm_left", 400)
    plain = driver.program("square", 50)
    for _ in range(60):
        events = driver.run(left, 0, 400)
        accounted(events, 0, 400)
        found = results(events)
        assert found == {index: index for index in found}
        events = driver.run(plain, 0, 50)
        accounted(events, 0, 50)
        found = results(events)
        assert found == {index: index * index for index in found}
        assert failures(events) == {}


def test_timers_that_a_task_leaves_behind_are_off_in_another_batch(driver):
    left = driver.program("disturbing_tasks:timers_left", 1)
    other = driver.program("disturbing_tasks:timers_found", 1)
    driver.run(left, 0, 1)
    assert results(driver.run(other, 0, 1)) == {0: []}


def test_an_alarm_in_the_middle_of_a_message_ends_the_slot(driver, tmp_path):
    """Else what follows would be taken for the rest of it, and the chunk would never end."""
    points = space.listed([{"index": at, "directory": str(tmp_path)} for at in range(2)])
    batch = driver.program("disturbing_tasks:alarm_while_sent", points)
    driver.until(lambda: driver.engine.idle)
    driver.submit(batch, 0, 2)
    wait_until((tmp_path / "late").exists)  # the owner does not read meanwhile
    events = driver.finish()
    accounted(events, 0, 2)
    for failure in failures(events).values():
        # On a busy machine it may be the other thread that sends, and nothing is broken off.
        assert failure.kind == "error" or "signal handler" in failure.message
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}


@pytest.mark.parametrize(
    "words",
    [b"\0\0\0\5hello", b"hello, whoever reads this", b"\0\0\x40\0", b"\0\1\0\0"],
    ids=["a frame", "no frame", "half a frame", "half a large frame"],
)
def test_a_task_that_writes_to_the_pipe_costs_its_slot_alone(make_driver, words):
    driver = make_driver(2)
    points = space.matrix({"index": space.Integers(0, 4, 1), "words": space.Literal([words])})
    batch = driver.program("disturbing_tasks:scribble", points)
    for _ in range(3):
        events = driver.run_all(batch, 4, 4)
        ((index, failure),) = failures(events).items()
        assert (index, failure.kind) == (2, "crash")
        assert "descriptors" in failure.message
        assert results(events) == {0: 0, 1: 1, 3: 3}
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}


@pytest.mark.parametrize("way", ["write", "close"])
@pytest.mark.parametrize("size", [1, 4], ids=["alone", "between others"])
def test_a_task_that_harms_all_descriptors_costs_its_slot_alone(make_driver, tmp_path, way, size):
    """However often it is tried: more often than slots may die for no reason."""
    driver = make_driver(2)
    waiting = space.listed([{"index": 0, "directory": str(tmp_path), "last": 0}])
    gate = driver.submit(driver.program("wait_for", waiting), 0, 1)
    points = space.matrix({"index": space.Integers(0, 4, 1), "way": space.Literal([way])})
    batch = driver.program("disturbing_tasks:harm_descriptors", points)
    for _ in range(MAX_DEATHS + 2):
        events = driver.run_all(batch, 4, size, beside=1)
        ((index, failure),) = failures(events).items()
        assert (index, failure.kind) == (2, "crash")
        assert "descriptors" in failure.message
        assert results(events) == {0: 0, 1: 1, 3: 3}
    assert list(driver.engine.running) == [gate]
    (tmp_path / "go").touch()
    assert results(driver.finish()) == {0: 0}
    assert (tmp_path / "attempts").read_text() == "0\n"
    assert results(driver.run(driver.program("square", 3), 2, 3)) == {2: 4}
