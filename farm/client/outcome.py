"""What became of tasks, one by one, made of the ranges in which outcomes travel."""

from __future__ import annotations

import array
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from farm.errors import TaskError
from farm.wire import messages


@dataclass(frozen=True, slots=True)
class Outcome:
    """One task's end.

    Args:
        index: the task's, from 0.
        status: ``done``, or the kind of the failure.
        value: what it returned, None if it failed.
        error: why it failed, None if it is done.
        seconds: what the last attempt took.
        node: the name of the node that ran it.
        attempts: how many there were, at least 1.
    """

    index: int
    status: str
    value: Any
    error: TaskError | None
    seconds: float
    node: str
    attempts: int

    @property
    def ok(self) -> bool:
        """Whether it is done."""
        return self.error is None


def expand(
    outcome: messages.Outcome, loads: Callable[[bytes], Any] = pickle.loads, first: int = 0
) -> Iterator[Outcome]:
    """The tasks of one range.

    Args:
        outcome: as it travelled.
        loads: unpickles results and exceptions. `pickle.loads` runs what nodes sent: the Python
            API trusts them as `multiprocessing.Pool` trusts its processes.
        first: leave out indices below it.

    Yields:
        one `Outcome` for each index, in order.
    """
    attempts = dict(outcome.retried)
    if outcome.failure is not None:
        for index in range(max(first, outcome.start), outcome.stop):
            yield _failed(outcome, index, attempts.get(index, 1), loads)
        return
    values, broken = _loaded(outcome.payload, loads)
    seconds = array.array("f", outcome.seconds)
    for index in range(max(first, outcome.start), outcome.stop):
        at = index - outcome.start + outcome.offset
        tried = attempts.get(index, 1)
        try:
            value = values[at]
        except (TypeError, LookupError):
            error = _no_result(index, outcome.node, broken)
            yield Outcome(index, error.kind, None, error, 0.0, outcome.node, tried)
        else:
            yield Outcome(index, "done", value, None, seconds[at], outcome.node, tried)


def _loaded(data: bytes, loads: Callable[[bytes], Any]) -> tuple[Any, BaseException | None]:
    """What was pickled; or what it raises instead that would end the program, such as SystemExit.

    That is the task's error, unless it came from outside, as Ctrl-C does.
    """
    try:
        return loads(data), None
    except Exception:
        raise
    except BaseException as error:
        if not _raises(type(error), data, loads):
            raise
        return None, error


def _raises(kind: type[BaseException], data: bytes, loads: Callable[[bytes], Any]) -> bool:
    """Whether it is what is unpickled that raises this: a signal does not come every time."""
    try:
        loads(data)
    except BaseException as error:
        return type(error) is kind
    return False


def _no_result(index: int, node: str, broken: BaseException | None = None) -> TaskError:
    """What a task returned cannot be had; or a broken or lying node has said that it is done."""
    if broken is None:
        return TaskError(index, "unpicklable", "", f"what the node {node!r} sent is no result")
    name = type(broken).__name__
    error = TaskError(index, "unpicklable", name, f"its result raises {name} when it is unpickled")
    error.__cause__ = broken
    return error


def values_of(outcome: messages.Outcome) -> list[Any]:
    """What the tasks of one range returned, in order.

    Raises:
        TaskError: it is a failure.
    """
    if outcome.failure is not None:
        error = next(expand(outcome)).error
        assert error is not None
        raise error
    # Results are unpickled as those of a `multiprocessing.Pool`: README says whom that trusts.
    values, broken = _loaded(outcome.payload, pickle.loads)
    count = outcome.stop - outcome.start
    if not isinstance(values, list) or len(values) < outcome.offset + count:
        raise _no_result(outcome.start, outcome.node, broken)
    whole = outcome.offset == 0 and len(values) == count
    return values if whole else values[outcome.offset : outcome.offset + count]


def _failed(
    outcome: messages.Outcome, index: int, attempts: int, loads: Callable[[bytes], Any]
) -> Outcome:
    failure = outcome.failure
    assert failure is not None
    error = TaskError(index, failure.kind, failure.type_name, failure.text, failure.traceback)
    error.__cause__ = _cause(failure, loads)
    seconds = outcome.elapsed / (outcome.stop - outcome.start)
    return Outcome(index, failure.kind, None, error, seconds, outcome.node, attempts)


_CAUSE: Any = BaseException.__dict__["__cause__"]
"""Sets it also where an exception's class lets nobody set anything, as a frozen dataclass does."""


class RemoteTraceback(Exception):
    """The traceback of a task as its slot saw it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def _cause(failure: messages.Failure, loads: Callable[[bytes], Any]) -> BaseException | None:
    """The exception itself if it travelled, else the traceback's text."""
    text = RemoteTraceback(failure.traceback) if failure.traceback else None
    if failure.exception is None:
        return text
    try:
        original, _ = _loaded(failure.exception, loads)
        # What is no Exception, such as SystemExit, would end whoever it is raised for.
        if not isinstance(original, Exception):
            return text
        _CAUSE.__set__(original, text)
    except Exception:
        # Its class may be missing here, and unpickling may raise anything; the text remains.
        return text
    return original
