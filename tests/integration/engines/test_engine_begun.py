"""Whether what is lost may have begun: a batch that must not run twice depends on it."""

import os
import signal
import sys

import pytest
from engine_driver import Ended, lost, results, wait_until

from farm.batch import space

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def ended(events):
    """Chunk -> whether it may have begun."""
    return {event.chunk: event.begun for event in events if isinstance(event, Ended)}


@pytest.fixture
def busy(driver, tmp_path):
    """A slot that runs task 1 of ``sleep_for_ever``; its batch and the chunk."""
    points = space.listed([{"index": at, "directory": str(tmp_path)} for at in range(3)])
    batch = driver.program("sleep_for_ever", points)
    chunk = driver.submit(batch, 1, 2)
    wait_until((tmp_path / "began-1").exists)
    return batch, chunk


def test_what_is_done_lost_nothing(driver):
    assert set(ended(driver.run(driver.program("square", 3), 0, 3)).values()) == {False}


def test_a_task_that_was_killed_failed_and_what_was_sent_with_it_may_have_begun(driver, busy):
    batch, chunk = busy
    behind = driver.submit(batch, 2, 3, ahead=True)
    os.kill(driver.engine.pids[0], signal.SIGKILL)
    assert ended(driver.finish()) == {chunk.id: False, behind.id: True}


def test_a_chunk_whose_slot_died_without_a_word_may_have_begun(driver):
    """It may have run to its end, and the slot died before it could say so."""
    batch = driver.program("square", 3)
    os.kill(driver.engine.pids[0], signal.SIGKILL)
    chunk = driver.submit(batch, 0, 1)
    events = driver.finish()
    assert lost(events) == [0]
    assert ended(events) == {chunk.id: True}


def test_what_the_slot_gave_back_did_not_begin(driver, busy):
    batch, chunk = busy
    behind = driver.submit(batch, 2, 3, ahead=True)
    driver.engine.take_back()
    driver.until(lambda: lost(driver.events) == [2])
    assert ended(driver.finish_now(batch)) == {behind.id: False, chunk.id: True}


def test_what_was_never_sent_to_a_slot_did_not_begin(driver, busy, tmp_path):
    batch, chunk = busy
    other = driver.program("version", 3, code="b")
    waits = driver.submit(other, 0, 1, ahead=True)
    driver.engine.cancel(other)
    assert ended(driver.engine.poll()) == {waits.id: False}
    assert ended(driver.finish_now(batch)) == {chunk.id: True}


def test_what_is_cancelled_before_it_begins_did_not_begin(driver, busy, tmp_path):
    other = driver.program("square", 3)
    waits = driver.submit(other, 0, 1, ahead=True)
    driver.engine.cancel(other)
    driver.until(lambda: lost(driver.events) == [0])
    assert ended(driver.events) == {waits.id: False}


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA as Linux has it")
def test_what_a_slot_did_not_begin_for_want_of_memory_did_not_begin(driver):
    points = space.listed([{"index": at, "sizes": [1, 500, 1]} for at in range(3)])
    batch = driver.program("allocate", points, memory=200 << 20)
    first, second = driver.submit(batch, 0, 3), driver.submit(batch, 2, 3, ahead=True)
    events = driver.finish()
    assert set(results(events)) == {0}
    assert lost(events) == [2, 2]
    assert ended(events) == {first.id: False, second.id: False}
