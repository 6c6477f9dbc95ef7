"""What the owner makes of what a slot says."""

from __future__ import annotations

import socket
import time

import pytest

from farm.batch import spec as specs
from farm.engines import slot as slots
from farm.engines.base import Chunk, Ended, Failed, Part, Program, Returned
from farm.engines.messages import Cut, Done, Failure, Finished, Spent, encode
from farm.engines.pipe import OwnerPipe, parts
from farm.engines.progress import SLOT_BYTES, Progress
from farm.engines.slot import Slot

NOBODY = 999_999_999
"""More than any system gives to a process."""

PROGRAM = Program(1, specs.encode(specs.Spec("b", specs.PythonCall("math", "sqrt"))), "", None)


class Process:
    """Of a slot that has ended as soon as it is asked."""

    pid = NOBODY
    exitcode = -15

    def join(self, timeout=None):
        pass

    def close(self):
        pass


@pytest.fixture
def signals(monkeypatch):
    """What was sent to the slot's group: whether it was SIGKILL."""
    found = []
    monkeypatch.setattr(slots, "signal_group", lambda _, *, kill: found.append(kill))
    return found


@pytest.fixture
def shown():
    """What the slot shows."""
    return Progress(memoryview(bytearray(SLOT_BYTES)), 0)


@pytest.fixture
def ends(shown, signals):
    mine, theirs = socket.socketpair()
    slot = Slot(0, Process(), OwnerPipe(mine), shown)
    yield slot, theirs
    slot.pipe.close()
    theirs.close()


def say(link, *messages):
    link.sendall(b"".join(part for one in messages for part in parts(encode(one))))


def test_a_spent_slot_may_say_that_it_has_dropped_what_was_given_up_with_it(ends):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 2), PROGRAM, None, None)
    slot.give(Chunk(8, 1, 2, 4), PROGRAM, None, None)
    slot.take_back()
    say(link, Spent(), Finished(8))
    assert slot.listen(0.0) == [Ended(7, 1, [(0, 2)]), Ended(8, 1, [(2, 4)])]
    assert not slot.idle


def test_what_a_slot_was_told_too_late_to_leave_is_over_with_its_chunk(ends):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 9), PROGRAM, None, None)
    slot.take_back()
    say(link, Done(0, 2, b"", b""), Cut(7, 4), Finished(7), Cut(7, 4))
    part, *others = slot.listen(0.0)
    assert part == Part(7, 1, 0, 2, b"", b"")
    assert others == [Returned(7, 1, [(4, 9)]), Ended(7, 1, [(2, 4)], begun=True)]
    assert slot.idle


def test_what_will_not_begin_is_not_blamed_on_the_task_that_kills_the_slot(ends, shown):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 9), PROGRAM, None, None)
    shown.enter(7)
    shown.begin(0, 9)
    slot.take_back()
    say(link, Cut(7, 1))
    assert slot.listen(0.0) == [Returned(7, 1, [(1, 9)])]
    events, _ = slot.bury(0.0)
    assert [type(event) for event in events] == [Failed, Ended]
    assert events[1].lost == []


def test_of_a_chunk_that_is_one_task_nothing_is_asked_for(ends):
    slot, _ = ends
    slot.give(Chunk(7, 1, 0, 1), PROGRAM, None, None)
    slot.take_back()
    assert not slot.hands[0].asked_back


# -- what makes no sense ----------------------------------------------------------------------


SENSE = encode(Done(0, 1, b"", b""))
NONSENSE = {
    "no msgpack": b"hello",
    "no message": encode([1, 2]),
    "no text": encode(Failure(0, 1, "\xe9", "", "", "", None, 0.0)).replace(
        b"\xc3\xa9", b"\xff\xff"
    ),
    "no range": encode(Done(1, 1, b"", b"")),
    "of no chunk": encode(Done(4, 5, b"", b"")),
    "beyond its chunk": encode(Failure(3, 5, "error", "", "", "", None, 0.0)),
}


@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE.keys())
def test_what_makes_no_sense_ends_the_slot_alone_and_blames_what_runs(ends, shown, signals, data):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 4), PROGRAM, None, None)
    shown.enter(7)
    shown.begin(1, 2)
    shown.seconds[0] = 0.1
    link.sendall(b"".join([*parts(SENSE), *parts(data), *parts(SENSE)]))
    (part,) = slot.listen(0.0)
    assert (part.start, part.stop) == (0, 1)
    assert not slot.idle
    assert signals == [False]
    slot.enforce(10.0)
    assert signals == [False, True]
    (failed, ended), reason = slot.bury(11.0)
    assert (failed.index, failed.kind) == (2, "crash")
    assert "descriptors" in failed.message
    assert ended == Ended(7, 1, [(1, 2), (3, 4)], begun=True)
    assert reason is None


def test_a_length_beyond_all_bounds_is_no_sense_either(ends, shown):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 4), PROGRAM, None, None)
    link.sendall(b"whatever")
    assert slot.listen(0.0) == []
    shown.enter(7)
    shown.end()
    (failed, ended), _ = slot.bury(1.0)
    assert failed.index == 0, "nothing runs: it is one of those that nothing was heard of"
    assert ended.lost == [(1, 4)]


@pytest.mark.parametrize("data", [SENSE, b"hello"])
def test_a_slot_that_says_something_unasked_ends(ends, signals, data):
    slot, link = ends
    link.sendall(b"".join(parts(data)))
    assert slot.listen(0.0) == []
    assert signals == [False]
    assert slot.bury(1.0) == ([], "killed by SIGTERM")


def test_of_a_chunk_that_ended_and_that_nothing_was_heard_of_tasks_may_have_run(ends):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 4), PROGRAM, None, None)
    say(link, Done(2, 3, b"", b""), Finished(7))
    part, ended = slot.listen(0.0)
    assert (part.start, part.stop) == (2, 3)
    assert ended == Ended(7, 1, [(0, 2), (3, 4)], begun=True)


# -- limits -----------------------------------------------------------------------------------


def run(shown, chunk, first):
    """The slot begins with a task, which is timed."""
    shown.enter(chunk)
    shown.begin(first, 1)
    shown.watch()


def test_a_task_keeps_to_the_limit_of_its_own_chunk(ends, shown, signals):
    """The owner may not have heard yet that the chunk before it is over."""
    slot, _ = ends
    slot.give(Chunk(7, 1, 0, 4), PROGRAM, 1.0, None)
    slot.give(Chunk(8, 1, 0, 4), PROGRAM, 100.0, None)
    run(shown, 8, 0)
    slot.enforce(time.monotonic() + 50.0)
    assert signals == []
    slot.enforce(time.monotonic() + 101.0)
    assert signals == [False]
    events, _ = slot.bury(time.monotonic())
    failed = next(event for event in events if isinstance(event, Failed))
    assert (failed.chunk, failed.index, failed.kind) == (8, 0, "timeout")
    assert "timeout of 100 s" in failed.message
    assert Ended(7, 1, [(0, 4)], begun=True) in events


def test_a_limit_holds_for_the_second_chunk_as_soon_as_it_runs(ends, shown, signals):
    slot, _ = ends
    slot.give(Chunk(7, 1, 0, 4), PROGRAM, None, None)
    slot.give(Chunk(8, 1, 0, 4), PROGRAM, 1.0, None)
    run(shown, 7, 0)
    slot.enforce(time.monotonic() + 2.0)
    assert signals == []
    run(shown, 8, 0)
    slot.enforce(time.monotonic() + 2.0)
    assert signals == [False]
