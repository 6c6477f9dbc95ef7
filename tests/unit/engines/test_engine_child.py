"""One chunk in the thread that runs tasks: what is timed, and what comes between two steps."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from farm.engines import child
from farm.engines.failure import CallError
from farm.engines.inbox import Job
from farm.engines.memory import MemoryLimit
from farm.engines.messages import Done, Failure, Finished, Run, decode_from_slot
from farm.engines.packing import dump_plain
from farm.engines.pipe import Incoming
from farm.engines.progress import SLOT_BYTES, Progress
from farm.engines.report import Report


class Bench:
    """What a slot has, without its threads and its owner."""

    def __init__(self) -> None:
        self.owner, self.mine = socket.socketpair()
        self.shown = Progress(memoryview(bytearray(SLOT_BYTES)), 0)
        self.limit = MemoryLimit()
        self.report = Report(self.mine, self.limit, self.shown)

    def run(
        self, task: Callable[[int], Any], stop: int, resolve: Callable[[], None] = lambda: None
    ) -> list[Any]:
        """Run a chunk of a batch that has a timeout; what was reported."""
        program = SimpleNamespace(
            dump=dump_plain,
            timed=True,
            memory=None,
            resolve=resolve,
            calls=lambda at, until, _: self.calls(task, at, until),
        )
        child._run(Job(Run(7, 1, 0, stop), program, None), self.shown, self.report, self.limit)
        self.report.finish(Finished(7))
        return self._heard()

    def calls(self, task: Callable[[int], Any], at: int, until: int) -> Any:
        """What the program has called."""
        return task, range(at, until)

    def _heard(self) -> list[Any]:
        incoming, found = Incoming(), []
        while Finished(7) not in found:
            incoming.read(self.owner)
            found += map(decode_from_slot, incoming.frames())
        return found


def results(heard: list[Any]) -> dict[int, Any]:
    """Index -> result."""
    return {
        index: value
        for part in heard
        if isinstance(part, Done)
        for index, value in enumerate(pickle.loads(part.payload), part.start)
    }


def failures(heard: list[Any]) -> list[Failure]:
    return [message for message in heard if isinstance(message, Failure)]


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.owner.close()
    made.mine.close()


class Timed:
    """Notes whether time is taken, and for which task, while it is pickled or made into text."""

    def __init__(self, shown: Progress, notes: list[tuple[str, bool, int]], name: str) -> None:
        self._note = lambda what: notes.append((f"{name} {what}", bool(shown.began), shown.index))

    def __reduce__(self):
        self._note("pickled")
        return (str, ())


class TimedError(Timed, Exception):
    def __init__(self, *args: Any) -> None:
        Timed.__init__(self, *args)
        Exception.__init__(self)

    def __str__(self) -> str:
        self._note("text")
        return "why"


def test_an_exception_and_the_results_before_it_are_pickled_in_the_time_of_the_task(bench):
    notes = []

    def task(index):
        if index == 2:
            raise TimedError(bench.shown, notes, "error")
        return Timed(bench.shown, notes, "result")

    heard = bench.run(task, 3)
    assert [type(message) for message in heard] == [Done, Done, Failure, Finished]
    names = {name for name, _, _ in notes}
    assert names == {"result pickled", "error text", "error pickled"}
    assert all(timed for _, timed, _ in notes)
    assert {index for name, _, index in notes if name.startswith("error")} == {2}
    assert not bench.shown.began


def test_what_keeps_a_chunk_from_running_is_told_in_the_time_of_its_first_task(bench):
    notes = []

    def resolve():
        raise TimedError(bench.shown, notes, "error")

    (failure, _) = bench.run(lambda index: index, 3, resolve)
    assert (failure.start, failure.stop, failure.message) == (0, 3, "why")
    assert {name for name, _, _ in notes} == {"error text", "error pickled"}
    assert all(timed and index == 0 for _, timed, index in notes)


def test_to_wait_for_the_other_thread_to_pickle_is_timed(bench, monkeypatch):
    """That may hang, in a result of this chunk, while it has the lock that `position` takes."""
    timed = []
    position = Report.position.fget

    def look(report):
        if len(report.results) == 2:  # between a group and what packs it
            timed.append(bool(bench.shown.began))
        return position(report)

    monkeypatch.setattr(Report, "position", property(look))
    bench.run(lambda index: index, 3)
    assert timed
    assert all(timed)


class Late(Exception):
    """What a signal handler raises that a task left behind."""


class Interrupted:
    """Places for seconds; an exception comes before one of them is written."""

    def __init__(self, places: memoryview, at: int) -> None:
        self._places = places
        self._at = at

    def __getitem__(self, key):
        return self._places[key]

    def __setitem__(self, key, value):
        if key == self._at:
            self._at = -1
            raise Late
        self._places[key] = value


@pytest.mark.parametrize("at", [1, 2])
def test_an_exception_between_a_result_and_its_time_takes_no_result_along(bench, at):
    bench.run(lambda index: index, 1)  # the batch is known, so that what follows is one group
    bench.shown.seconds = Interrupted(bench.shown.seconds, at)
    heard = bench.run(lambda index: index, 5)
    (failure,) = failures(heard)
    assert (failure.type_name, failure.start, failure.stop) == ("Late", at + 1, at + 2)
    assert results(heard) == {index: index for index in range(5) if index != at + 1}
    assert results(bench.run(lambda index: -index, 5)) == {index: -index for index in range(5)}


@pytest.fixture
def late(monkeypatch):
    """Has an exception come, so many times, at the end of a step of the slot's own."""

    def come(owner: Any, name: str, times: int) -> None:
        step, left = getattr(owner, name), iter(range(times))

        def interrupted(*args: Any) -> Any:
            found = step(*args)
            if next(left, None) is not None:
                raise Late
            return found

        monkeypatch.setattr(owner, name, interrupted)

    return come


STEPS = ["open_group", "pack", "send_enough"]


@pytest.mark.parametrize("name", STEPS)
def test_one_exception_between_two_groups_fails_nobody(bench, late, name):
    late(bench.report, name, 1)
    assert results(bench.run(lambda index: index, 5)) == {index: index for index in range(5)}


@pytest.mark.parametrize("name", STEPS)
def test_exceptions_between_two_groups_fail_one_task_and_not_those_behind(bench, late, name):
    late(bench.report, name, 2)
    heard = bench.run(lambda index: index, 50)
    (failure,) = failures(heard)
    assert failure.stop == failure.start + 1
    assert results(heard) == {index: index for index in range(50) if index != failure.start}


def test_an_exception_while_arguments_are_made_fails_nobody_if_it_comes_once(bench, late):
    late(bench, "calls", 1)
    assert results(bench.run(lambda index: index, 5)) == {index: index for index in range(5)}


def test_arguments_that_cannot_be_made_fail_all_that_need_them(bench, monkeypatch):
    def calls(task, at, until):
        raise CallError("BlockError", "they are not there")

    monkeypatch.setattr(bench, "calls", calls)
    (failure, _) = bench.run(lambda index: index, 5)
    assert (failure.start, failure.stop, failure.type_name) == (0, 5, "BlockError")


def test_an_exception_while_a_failure_is_told_does_not_run_its_task_again(bench, late):
    ran = []

    def task(index):
        ran.append(index)
        if index == 1:
            raise ValueError

    late(bench.limit, "describe", 1)
    heard = bench.run(task, 5)
    assert ran == list(range(5))
    (failure,) = failures(heard)
    assert (failure.type_name, failure.start, failure.stop) == ("Late", 1, 2)
    assert set(results(heard)) == {0, 2, 3, 4}
