"""What the owner makes of what a slot says."""

from __future__ import annotations

import socket
import threading
import time
import tracemalloc

import pytest

from farm.batch import spec as specs
from farm.engines import slot as slots
from farm.engines.base import Chunk, Ended, Failed, Part, Program, Returned
from farm.engines.exits import BROKEN, PIPE_TAKEN
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


def test_what_a_slot_has_said_is_kept_no_longer_than_it_takes_to_hear_it(ends):
    """It may say nothing else for long, and many slots may have said much."""
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 9), PROGRAM, None, None)
    size = 8 << 20
    sender = threading.Thread(target=lambda: say(link, Done(0, 1, bytes(size), b"")))
    tracemalloc.start()
    try:
        sender.start()
        while not slot.listen(0.0):
            pass
        sender.join()
        assert tracemalloc.get_traced_memory()[0] < size
    finally:
        tracemalloc.stop()


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


@pytest.mark.parametrize(("code", "kind"), [(-11, "crash"), (BROKEN, "crash"), (-15, "timeout")])
def test_the_last_task_of_a_chunk_that_was_cut_is_to_blame_for_what_its_result_does(
    ends, shown, code, kind
):
    """The place behind it is that of a task which will not begin."""
    slot, link = ends
    slot.process.exitcode = code
    slot.give(Chunk(7, 1, 0, 9), PROGRAM, 5.0, None)
    run_up_to(shown, 7, 0, 3)
    say(link, Done(0, 2, b"", b""), Cut(7, 3))
    slot.listen(0.0)
    shown.watch()
    if kind == "timeout":
        slot.enforce(time.monotonic() + 6.0)
    (failed, ended), reason = slot.bury(time.monotonic())
    assert (failed.index, failed.kind) == (2, kind)
    assert (ended.lost, reason) == ([], None)


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


def run_up_to(shown, chunk, first, index):
    """The slot runs a chunk in one group from its task ``first`` on, and is at another one."""
    shown.enter(chunk)
    shown.begin(first, 4)
    for at in range(index - first):
        shown.seconds[at] = 0.1


@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE.keys())
def test_what_makes_no_sense_ends_the_slot_alone_and_blames_what_runs(ends, shown, signals, data):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 4), PROGRAM, None, None)
    run_up_to(shown, 7, 0, 1)
    link.sendall(b"".join([*parts(SENSE), *parts(data), *parts(SENSE)]))
    (part,) = slot.listen(0.0)
    assert (part.start, part.stop) == (0, 1)
    assert not slot.idle
    assert signals == [False]
    slot.enforce(10.0)
    assert signals == [False, True]
    (failed, ended), reason = slot.bury(11.0)
    assert (failed.index, failed.kind) == (1, "crash")
    assert "descriptors" in failed.message
    assert ended == Ended(7, 1, [(2, 4)], begun=True)
    assert (reason, slot.care) == (None, None)


def test_where_one_of_several_tasks_is_to_blame_none_is(ends, shown):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 4), PROGRAM, None, None)
    run_up_to(shown, 7, 0, 2)
    link.sendall(b"whatever")
    slot.listen(0.0)
    assert slot.bury(1.0) == ([Ended(7, 1, [(0, 4)], begun=True)], None)
    assert slot.care == (1, True)


def test_of_a_chunk_that_is_run_carefully_the_first_that_was_not_heard_of_is_to_blame(ends, shown):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 4), PROGRAM, None, None, careful=True)
    run_up_to(shown, 7, 1, 2)
    link.sendall(b"".join([*parts(SENSE), *parts(b"hello")]))
    slot.listen(0.0)
    (failed, ended), _ = slot.bury(1.0)
    assert (failed.index, failed.kind) == (1, "crash")
    assert ended.lost == [(2, 4)]
    assert slot.care == (1, False)


def test_a_chunk_that_has_not_begun_is_to_blame_for_nothing(ends, shown):
    """What an earlier one left behind broke the slot."""
    slot, link = ends
    run_up_to(shown, 6, 0, 2)
    slot.give(Chunk(7, 1, 0, 4), PROGRAM, None, None)
    link.sendall(b"whatever")
    slot.listen(0.0)
    events, reason = slot.bury(1.0)
    assert events == [Ended(7, 1, [(0, 4)], begun=True)]
    assert (reason, slot.care) == ("killed by SIGTERM", None)


@pytest.mark.parametrize("code", [BROKEN, PIPE_TAKEN])
@pytest.mark.parametrize("over", [False, True])
def test_a_slot_whose_own_work_breaks_off_blames_what_was_not_heard_of(ends, shown, code, over):
    """It may have begun to end its chunk by then."""
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 2), PROGRAM, None, None)
    slot.process.exitcode = code
    say(link, Done(0, 1, b"", b""))
    run_up_to(shown, 7, 0, 1)
    if over:
        shown.end()
    (part, failed, ended), reason = slot.bury(1.0)
    assert (part.start, failed.index, failed.kind) == (0, 1, "crash")
    assert ended.lost == []
    assert (reason, slot.care) == (None, None)


def test_a_length_beyond_all_bounds_is_no_sense_either(ends, shown, signals):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 4), PROGRAM, None, None)
    link.sendall(b"whatever")
    assert slot.listen(0.0) == []
    assert signals == [False]


@pytest.mark.parametrize("data", [SENSE, b"hello"])
def test_a_slot_that_says_something_unasked_ends(ends, signals, data):
    slot, link = ends
    link.sendall(b"".join(parts(data)))
    assert slot.listen(0.0) == []
    assert signals == [False]
    assert slot.bury(1.0) == ([], "killed by SIGTERM")


@pytest.mark.parametrize("head", [b"\0", b"\0\0\1\0", b"\0\1\0\0"])
def test_a_slot_whose_end_of_a_chunk_is_taken_for_a_part_of_a_frame_ends(
    ends, shown, signals, head
):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 1), PROGRAM, None, None)
    shown.enter(7)
    link.sendall(head + b"\0\0")
    slot.listen(0.0)
    assert slot.due(0.0) is not None
    slot.enforce(50.0)
    slot.enforce(100.0)
    assert signals == [], "it may be on its way"
    shown.end()
    shown.finish(7)
    slot.enforce(100.0)
    due = slot.due(100.0)
    assert due is not None
    assert 100.0 < due <= 102.0
    assert signals == []
    slot.enforce(due)
    assert signals == [False]
    (failed, _), _ = slot.bury(due)
    assert (failed.index, failed.kind, "descriptors" in failed.message) == (0, "crash", True)


def test_an_owner_that_reads_slowly_takes_nobody_for_broken(ends, shown, signals):
    slot, link = ends
    slot.give(Chunk(7, 1, 0, 1), PROGRAM, None, None)
    head, payload = parts(encode(Done(0, 1, bytes(100_000), b"")))
    link.sendall(head + payload[:50_000])
    slot.listen(0.0)
    link.sendall(payload[50_000:-1])
    shown.finish(7)
    slot.enforce(0.0)
    slot.listen(50.0)
    slot.enforce(50.0)
    assert signals == []
    link.sendall(payload[-1:])
    say(link, Finished(7))
    slot.listen(100.0)
    slot.enforce(100.0)
    assert signals == []
    assert slot.idle
    assert slot.due(100.0) is None


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
