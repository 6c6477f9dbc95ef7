"""What a slot reports, whatever comes between two of its steps."""

from __future__ import annotations

import os
import struct
import threading
from array import array

import pytest

from farm.engines import ending, report
from farm.engines.exits import BROKEN, NO_MEMORY, PIPE_TAKEN
from farm.engines.memory import MemoryLimit
from farm.engines.messages import Done, Failure, Finished, Spent, decode_from_slot
from farm.engines.packing import dump_plain
from farm.engines.pipe import OwnerGone, PipeTaken
from farm.engines.progress import SLOT_BYTES, Progress
from farm.engines.report import FLUSH_BYTES, Report

PATIENCE = 20.0
LARGE = Failure(0, 1, "error", "E", "x" * FLUSH_BYTES, "", None, 0.0)


class Link:
    """A pipe that takes everything, and on which something may happen before a message is taken."""

    def __init__(self) -> None:
        self._sent = b""
        self.meanwhile = lambda: None

    def sendall(self, data: bytes) -> None:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        self._sent += data

    def heard(self) -> list[Done | Failure | Finished | Spent]:
        """All that has come since the last time."""
        found, sent = [], self._sent
        self._sent = b""
        while sent:
            (length,) = struct.unpack_from("!I", sent)
            found.append(decode_from_slot(sent[4 : 4 + length]))
            sent = sent[4 + length :]
        return found


class Ends(BaseException):
    """The slot has ended."""


@pytest.fixture
def link():
    return Link()


@pytest.fixture
def shown():
    return Progress(memoryview(bytearray(SLOT_BYTES)), 0)


@pytest.fixture
def made(link, shown):
    """A report that this thread makes, and so runs tasks for; a chunk has begun."""
    found = Report(link, MemoryLimit(), shown)
    found.begin(1, 0, dump_plain)
    return found


@pytest.fixture
def ends(monkeypatch):
    """What the slot ended by."""
    found = []

    def end(error):
        found.append(error)
        raise Ends

    monkeypatch.setattr(report, "end_slot", end)
    return found


def in_other_thread(function) -> None:
    """Call it there; it does not wait for this one."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def done(index, value):
    return Done(index, index + 1, dump_plain([value]), array("f", [0.0]).tobytes())


def test_a_result_whose_time_was_not_written_is_reported_by_the_thread_that_ran_it(made, link):
    """An exception of a signal handler may come between the two."""
    made.results.append("mine")
    made.fail(Failure(1, 4, "error", "Late", "", "", None, 0.0))
    made.finish(Finished(7))
    first, failure, finished = link.heard()
    assert first == done(0, "mine")
    assert (failure.start, failure.stop) == (1, 4)
    assert finished == Finished(7)


def test_of_a_careful_chunk_each_task_is_sent_before_the_next_one_begins(made, link, shown):
    made.begin(1, 0, dump_plain, careful=True)
    for index in range(3):
        assert made.open_group(3) == index + 1
        made.results.append(index)
        shown.seconds[0] = 0.0
        made.pack()
        made.send_enough()
        assert link.heard() == [done(index, index)]


def test_the_other_thread_leaves_such_a_result_to_it(made, link, shown):
    made.results.append("mine")
    in_other_thread(made.flush)
    assert link.heard() == []
    shown.seconds[0] = 0.0
    in_other_thread(made.flush)
    assert link.heard() == [done(0, "mine")]


def test_what_is_left_of_a_chunk_is_not_taken_for_a_result_of_the_next(made, link):
    made.results.append("of the first")
    made.begin(2, 100, dump_plain)
    assert made.position == 100
    made.results.append("of the second")
    made.finish(Finished(8))
    assert link.heard() == [done(100, "of the second"), Finished(8)]


@pytest.mark.parametrize(
    ("sends", "what"),
    [
        (lambda made: made.finish(Finished(1)), Finished(1)),
        (lambda made: made.fail(LARGE), LARGE),
        (lambda made: made.flush(), done(0, "small")),
        (lambda made: made.drop(1), Finished(1)),
    ],
    ids=["finish", "fail", "flush", "drop"],
)
def test_who_sends_says_what_was_dropped_meanwhile(made, link, shown, sends, what):
    """The other thread does not wait until it may send: this one looks when it has sent."""
    if what == done(0, "small"):
        made.results.append("small")
        shown.seconds[0] = 0.0
    link.meanwhile = lambda: in_other_thread(lambda: made.drop(2))
    sends(made)
    assert link.heard() == [what, Finished(2)]


@pytest.mark.parametrize("error", [RuntimeError("late"), KeyboardInterrupt(), BrokenPipeError()])
def test_a_message_that_breaks_off_is_the_end_of_the_slot(made, link, ends, error):
    def breaks_off():
        raise error

    link.meanwhile = breaks_off
    with pytest.raises(Ends):
        made.finish(Finished(1))
    assert ends == [error]


def test_what_was_taken_to_be_sent_is_not_lost_for_want_of_memory(link, shown, ends):
    limit = MemoryLimit()
    made = Report(link, limit, shown)
    made.begin(1, 0, dump_plain)
    made.results.append("mine")
    made.pack()

    def fails(function):
        raise MemoryError

    limit.insist = fails
    with pytest.raises(Ends):
        made.finish(Finished(1))
    assert [type(error) for error in ends] == [MemoryError]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), NO_MEMORY),
        (RuntimeError("late"), BROKEN),
        (SystemExit(0), BROKEN),
        (TimeoutError("late"), BROKEN),
        (EOFError("late"), BROKEN),
        (PipeTaken(), PIPE_TAKEN),
    ],
)
def test_the_exit_code_of_a_slot_says_why_it_ends(monkeypatch, capfd, error, code):
    def leave(number):
        raise Ends(number)

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(ending, "kill_own_group", lambda: leave("killed"))
    with pytest.raises(Ends, match=str(code)):
        ending.end_slot(error)
    assert (type(error).__name__ in capfd.readouterr().err) == (code == BROKEN)


def test_a_slot_whose_owner_is_gone_takes_its_group_with_it(monkeypatch):
    def kill():
        raise Ends

    monkeypatch.setattr(ending, "kill_own_group", kill)
    with pytest.raises(Ends):
        ending.end_slot(OwnerGone())
