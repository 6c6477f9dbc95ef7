"""Which of a slot's two threads reads what the owner sends."""

from __future__ import annotations

import queue
import socket
import threading
import tracemalloc
from collections import deque

import pytest

from farm.batch import spec as specs
from farm.engines.inbox import Inbox
from farm.engines.memory import MemoryLimit
from farm.engines.messages import (
    Done,
    Drop,
    Failure,
    Finished,
    Leave,
    Run,
    Spent,
    UseBlock,
    UseProgram,
    decode_from_slot,
    encode,
)
from farm.engines.packing import dump_plain
from farm.engines.pipe import Incoming, OwnerGone, parts
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
        self.report = Report(mine, MemoryLimit(), shown)
        self.inbox = Inbox(mine, self.report)
        self.mine = mine
        self._incoming = Incoming()
        self._frames: deque[bytes] = deque()

    def say(self, *messages: UseProgram | Run | Drop | Leave) -> None:
        self.owner.sendall(b"".join(part for one in messages for part in parts(encode(one))))

    def heard(self) -> Done | Failure | Finished | Spent:
        """What the owner is told next."""
        while not self._frames:
            assert self._incoming.read(self.owner)
            self._frames += self._incoming.frames()
        return decode_from_slot(self._frames.popleft())

    def unheard(self) -> bytes:
        """What else has come; waits for nothing."""
        self.owner.setblocking(False)
        try:
            return b"".join(self._frames) + self.owner.recv(1 << 16)
        except BlockingIOError:
            return b"".join(self._frames)

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
    with pytest.raises(OwnerGone):
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


class Watched(queue.SimpleQueue):
    """A queue beside which something happens when it has been seen to be empty."""

    def __init__(self, then) -> None:
        super().__init__()
        self._then = [then]

    def empty(self) -> bool:
        found = super().empty()
        if self._then:
            self._then.pop()()
        return found


def test_a_job_that_came_between_two_looks_is_not_slept_over(slot):
    """The second thread puts it there and hands back just before the first one reads."""

    def reads_once():
        assert slot.inbox.take_over()
        slot.inbox.read()
        slot.inbox.hand_back()

    slot.inbox._jobs = Watched(reads_once)
    slot.say(Run(7, 1, 0, 1))
    found = []
    first = slot.in_thread(found)
    first.join(PATIENCE)
    assert found == [7]


def test_the_rest_of_a_message_is_not_waited_for_by_the_thread_that_reads(slot):
    """While it is on its way, a task has its limit, and what has finished is flushed."""
    slot.say(Run(7, 1, 0, 1))
    assert slot.inbox.next().run.chunk == 7
    slot.mine.settimeout(0.05)
    head, block = parts(encode(UseBlock(0, bytes(1 << 17))))
    assert slot.inbox.take_over()
    slot.owner.sendall(head + block[:100])
    slot.inbox.read()
    slot.owner.sendall(block[100:200])
    slot.inbox.read()
    slot.inbox.hand_back()
    slot.mine.settimeout(PATIENCE)
    found = []
    first = slot.in_thread(found)
    slot.owner.sendall(block[200:])
    slot.say(Run(8, 1, 1, 2))
    first.join(PATIENCE)
    assert found == [8]


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
    slot.say(Run(7, 1, 0, 1), Run(8, 1, 1, 2), Drop(8), Run(9, 1, 2, 3))
    assert slot.inbox.next().run.chunk == 7
    assert slot.inbox.next().run.chunk == 9
    assert slot.heard() == Finished(8)
    slot.inbox.over()
    assert slot.inbox.busy
    slot.inbox.over()
    assert not slot.inbox.busy


def test_a_chunk_that_has_begun_is_not_dropped(slot):
    slot.say(Run(7, 1, 0, 1))
    assert slot.inbox.next().run.chunk == 7
    slot.say(Drop(7), Run(8, 1, 1, 2))
    assert slot.inbox.next().run.chunk == 8
    slot.report.finish(Finished(7))
    assert slot.heard() == Finished(7)
    assert slot.unheard() == b""


def test_the_owner_is_told_what_was_dropped_while_something_was_sent(slot):
    """The thread that drops it must not wait for the owner to read; the other one does."""
    slot.say(Run(7, 1, 0, 1), Run(8, 1, 1, 2))
    assert slot.inbox.next().run.chunk == 7
    long = Failure(0, 1, "error", "E", "x" * 10_000_000, "", None, 0.0)

    def run() -> None:
        slot.report.begin(1, 0, dump_plain)
        slot.report.fail(long)  # longer than what the pipe holds
        slot.inbox.over()
        slot.inbox.next()

    first = threading.Thread(target=run, daemon=True)
    first.start()
    assert slot.owner.recv(1, socket.MSG_PEEK), "it is sending, and waits for the owner"
    assert slot.inbox.take_over()
    slot.say(Drop(8))
    slot.inbox.read()
    slot.inbox.hand_back()

    assert slot.heard() == long
    assert slot.heard() == Finished(8)
    slot.say(Leave())
    first.join(PATIENCE)
    assert not first.is_alive()


def test_a_block_is_in_memory_once_while_its_tasks_run(slot):
    size = 8 << 20
    run = Run(7, 1, 0, 1)
    sender = threading.Thread(target=lambda: slot.say(UseBlock(0, bytes(size)), run))
    tracemalloc.start()
    try:
        sender.start()
        assert slot.inbox.next() is not None
        sender.join()
        assert size < tracemalloc.get_traced_memory()[0] < 2 * size
    finally:
        tracemalloc.stop()
