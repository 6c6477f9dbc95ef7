"""Which of a slot's two threads reads what the owner sends."""

from __future__ import annotations

import socket
import threading

import pytest

from farm.batch import spec as specs
from farm.engines.inbox import Inbox
from farm.engines.memory import MemoryLimit
from farm.engines.messages import Drop, Leave, Run, UseProgram, encode
from farm.engines.pipe import parts
from farm.engines.progress import SLOT_BYTES, Progress
from farm.engines.report import Report

PATIENCE = 20.0
SPEC = specs.encode(specs.Spec("b", specs.PythonCall("math", "sqrt")))


class Slot:
    """An inbox, and the owner's end of its pipe."""

    def __init__(self) -> None:
        self.owner, mine = socket.socketpair()
        self.owner.settimeout(PATIENCE)
        shown = Progress(memoryview(bytearray(SLOT_BYTES)), 0)
        self.inbox = Inbox(mine, Report(mine, MemoryLimit(), shown))
        self.mine = mine

    def say(self, *messages: UseProgram | Run | Drop | Leave) -> None:
        self.owner.sendall(b"".join(part for one in messages for part in parts(encode(one))))

    def in_thread(self, found: list[int | None]) -> threading.Thread:
        """The first thread: puts the chunk of the next job into ``found``."""

        def run() -> None:
            job = self.inbox.next()
            found.append(None if job is None else job.run.chunk)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


@pytest.fixture
def slot():
    made = Slot()
    made.say(UseProgram(1, SPEC, None))
    yield made
    made.owner.close()
    made.mine.close()


def test_the_first_thread_reads_by_itself_while_it_has_nothing_to_run(slot):
    slot.say(Run(7, 1, 0, 1), Run(8, 1, 1, 2))
    first, second = slot.inbox.next(), slot.inbox.next()
    assert (first.run.chunk, second.run.chunk) == (7, 8)
    assert slot.inbox.busy
    slot.inbox.over()
    slot.inbox.over()
    assert not slot.inbox.busy


def test_it_ends_when_told_to_or_when_the_owner_is_gone(slot):
    slot.say(Leave())
    assert slot.inbox.next() is None
    slot.owner.close()
    with pytest.raises(EOFError):
        slot.inbox.next()


def test_while_the_second_thread_reads_the_first_has_its_jobs_from_there(slot):
    assert slot.inbox.take_over()
    found = []
    first = slot.in_thread(found)
    slot.say(Run(7, 1, 0, 1))
    slot.inbox.read()
    first.join(PATIENCE)
    assert found == [7]


def test_what_is_handed_back_is_read_by_the_first_thread(slot):
    assert slot.inbox.take_over()
    found = []
    first = slot.in_thread(found)  # nobody knows whether it waits by now: both are right
    slot.inbox.hand_back()
    slot.say(Run(7, 1, 0, 1))
    first.join(PATIENCE)
    assert found == [7]


def test_the_second_thread_does_not_read_while_the_first_does(slot):
    found = []
    first = slot.in_thread(found)
    while slot.inbox.take_over():  # until the first thread reads
        slot.inbox.hand_back()
    slot.say(Run(7, 1, 0, 1))
    first.join(PATIENCE)
    assert found == [7]
    assert slot.inbox.take_over()


def test_the_second_thread_sleeps_until_there_is_a_job(slot):
    awake = threading.Event()

    def sleep() -> None:
        slot.inbox.sleep()
        awake.set()

    sleeper = threading.Thread(target=sleep, daemon=True)
    sleeper.start()
    assert not awake.is_set()
    slot.say(Run(7, 1, 0, 1))
    slot.inbox.next()
    assert awake.wait(PATIENCE)
    sleeper.join(PATIENCE)


def test_the_second_thread_does_not_sleep_beside_a_job(slot):
    slot.say(Run(7, 1, 0, 1))
    slot.inbox.next()
    awake = threading.Thread(target=slot.inbox.sleep, daemon=True)
    awake.start()
    awake.join(PATIENCE)
    assert not awake.is_alive()


def test_a_chunk_that_was_dropped_in_time_does_not_begin(slot):
    slot.say(Run(7, 1, 0, 1), Run(8, 1, 1, 2), Drop(8))
    assert slot.inbox.next().claim()
    dropped = slot.inbox.next()
    assert dropped.run.chunk == 8
    assert not dropped.claim()
    slot.inbox.over()
    assert not slot.inbox.busy
