"""The result dict of plain `BaseManager` clients: results of the task queue's calls, by id."""

from __future__ import annotations

import array
import asyncio
import heapq
from collections import deque
from collections.abc import Generator
from typing import Any

from farm.errors import ProtocolError
from farm.server.core import Core
from farm.server.queue import MAX_WAIT, Caller, TaskQueue, result_payload
from farm.wire import builtins

MAX_PAYLOAD = 8 * 1024 * 1024
"""Bytes of results that are read here: as many as a plain client may send."""

MAX_PARTS = 400_000
"""Values in the results that are unpickled together: what a slot sends at a time has fewer, unless
a single one is larger. They take some 0.4 microseconds each.
"""

MAX_KEPT = 1024 * 1024
"""Bytes of a payload that is kept, with what is in it: the next result is asked for soon."""

STEP_PARTS = 2_000
STEP_KEYS = 5_000
"""Of them at a time; then others have their turn."""

MAX_KEYS = 1_000_000

Work = Generator[None, None, Any]
"""Yields where others may have their turn; returns what was asked for."""


class ResultDict:
    """What ``get_result_dict()`` gives; values are builtins.

    What has to be read is answered with a future: it is made step by step.

    Example:
        >>> BaseManager.register("get_result_dict")             # doctest: +SKIP
        >>> results = manager.get_result_dict()                 # doctest: +SKIP
        >>> results.wait(0, timeout=10), results[0]             # doctest: +SKIP
        (True, 2432902008176640000)
    """

    exposed = (
        "wait", "get", "pop", "keys", "__contains__", "__getitem__", "__setitem__", "__len__",
    )  # fmt: skip

    def __init__(self, core: Core, tasks: TaskQueue) -> None:
        self._core = core
        self._tasks = tasks
        self._last: tuple[bytes, list[Any]] | None = None  # a payload, and what is in it
        self._lines: dict[str, deque[tuple[Work, asyncio.Future[Any]]]] = {}
        self._popped: set[int] = set()
        if tasks.batch is not None:
            self._popped = core.journal.popped(tasks.batch)

    def wait(self, caller: Caller, task: int, timeout: float | None = None) -> asyncio.Future[bool]:
        """Wait until a call has a result or has failed; False if it has not in ``timeout`` s.

        Raises:
            KeyError: no such call was put, or its result was popped.
        """
        batch = self._batch_of(task)
        if task in self._popped:
            raise KeyError(task)
        future: asyncio.Future[bool] = self._core.loop.create_future()

        def answer() -> None:
            if not future.done():
                future.set_result(self._recorded(task))

        seconds = MAX_WAIT if timeout is None else min(float(timeout), MAX_WAIT)
        caller.wait(batch, seconds, lambda: self._recorded(task), answer)
        return future

    def contains(self, caller: Caller, task: Any) -> bool:
        """Whether a call has a result, or has failed."""
        del caller
        return self._has(task)

    def getitem(self, caller: Caller, task: Any) -> asyncio.Future[Any]:
        """The result of a call.

        Raises:
            KeyError: there is none (yet).
            RuntimeError: the call failed; the text says how.
            TypeError: its result is not made of builtins, or of very many, so that only farm's own
                client reads it.
        """
        return self._made(caller, self._read(task))

    def get(self, caller: Caller, task: Any, default: Any = None) -> asyncio.Future[Any]:
        """As ``results[task]``, but ``default`` where there is no result."""
        return self._made(caller, self._get(task, default))

    def pop(self, caller: Caller, task: Any, *default: Any) -> asyncio.Future[Any]:
        """As ``results[task]``, and take it away, unless it cannot be read here."""
        return self._made(caller, self._take(task, *default))

    def _made(self, caller: Caller, work: Work) -> asyncio.Future[Any]:
        """What ``work`` returns, begun once all that is recorded by now is in the journal."""
        future: asyncio.Future[Any] = self._core.loop.create_future()
        self._core.answer(lambda: self._stand_in_line(caller.who, work, future))
        return future

    def _stand_in_line(self, who: str, work: Work, future: asyncio.Future[Any]) -> None:
        """Of those who came in with the same one is served at a time: each takes memory."""
        line = self._lines.setdefault(who, deque())
        line.append((work, future))
        if len(line) == 1:
            self._core.read(who, lambda: self._serve(who))

    def _serve(self, who: str) -> bool:
        line = self._lines[who]
        if not _advance(*line[0]):
            line.popleft()
        if not line:
            del self._lines[who]
        return bool(line)

    def _read(self, task: Any) -> Work:
        if not self._has(task):
            raise KeyError(task)
        size = self._core.journal.payload_size(self._batch_of(task), task)
        if size > MAX_PAYLOAD:
            raise TypeError(
                f"the result of call {task} came among {size:,} bytes, and can only be read by "
                f"farm's own client; the limit is {MAX_PAYLOAD:,}"
            )
        found = self._core.journal.outcomes_from(self._batch_of(task), task, rows=1)
        if not found:  # while the journal cannot be written, it is known and not recorded
            raise KeyError(task)
        outcome = found[0]
        if outcome.failure is not None:
            failure = outcome.failure
            name = f"{failure.type_name}: " if failure.type_name else ""
            raise RuntimeError(f"call {task} failed ({failure.kind}): {name}{failure.text}")
        try:
            values = yield from self._values(outcome.payload)
        except ProtocolError as error:
            raise TypeError(
                f"the result of call {task} cannot be read here, only by farm's own client: {error}"
            ) from error
        at = task - outcome.start + outcome.offset
        if at >= len(values):
            raise TypeError(f"the node that ran call {task} has sent fewer results than it ran")
        return values[at]

    def _values(self, payload: bytes) -> Work:
        """The results of a part: clients ask for one after the other, so that the last is kept."""
        if self._last is not None and self._last[0] == payload:
            return self._last[1]
        values = yield from builtins.load_in_steps(payload, MAX_PARTS, STEP_PARTS)
        if type(values) is not list:
            raise ProtocolError("what its node has sent is not a list of results")
        if len(payload) <= MAX_KEPT:
            self._last = payload, values
        return values

    def _get(self, task: Any, default: Any) -> Work:
        return (yield from self._read(task)) if self._has(task) else default

    def _take(self, task: Any, *default: Any) -> Work:
        if default and not self._has(task):
            return default[0]
        try:
            value = yield from self._read(task)
        except RuntimeError:
            self._forget(task)
            raise
        if not self._has(task):  # somebody else took it meanwhile
            raise KeyError(task)
        self._forget(task)
        return value

    def _forget(self, task: int) -> None:
        self._popped.add(task)
        self._core.journal.pop(self._batch_of(task), task)
        self._core.plan_flush()

    def setitem(self, caller: Caller, task: Any, value: Any) -> None:
        """Record the result of a call; a second one for the same call is dropped.

        Raises:
            KeyError: no such call was put.
        """
        self._core.check_writable()
        batch = self._batch_of(task)
        seconds = array.array("f", [0.0]).tobytes()  # a plain worker does not say how long it took
        part = (task, task + 1)
        self._core.record_done(batch, caller.node, part, result_payload(value), seconds, 0.0)

    def keys(self, caller: Caller) -> asyncio.Future[list[int]]:
        """The ids of the calls that have a result or have failed.

        Raises:
            ValueError: they are more than `MAX_KEYS`.
        """
        if self.length(caller) > MAX_KEYS:
            raise ValueError(
                f"there are more than {MAX_KEYS:,} results: ask for each with `id in results`"
            )
        return self._made(caller, self._keys())

    def _keys(self) -> Work:
        if self._tasks.batch is None:
            return []
        state = self._core.ledger.batches[self._tasks.batch]
        found: list[int] = []
        looked = 0
        for start, stop in heapq.merge(state.done.copy(), state.failed.copy()):
            for first in range(start, stop, STEP_KEYS):
                part = range(first, min(stop, first + STEP_KEYS))
                found += [index for index in part if index not in self._popped]
                looked += 1 + len(part)
                if looked >= STEP_KEYS:
                    looked = 0
                    yield
        return found

    def length(self, caller: Caller) -> int:
        """How many calls have a result or have failed."""
        del caller
        if self._tasks.batch is None:
            return 0
        state = self._core.ledger.batches[self._tasks.batch]
        return state.done.count + state.failed.count - len(self._popped)

    def _batch_of(self, task: Any) -> int:
        batch = self._tasks.batch
        total = 0 if batch is None else self._core.ledger.batches[batch].total
        if batch is None or not isinstance(task, int) or not 0 <= task < total:
            raise KeyError(task)
        return batch

    def _has(self, task: Any) -> bool:
        return isinstance(task, int) and task not in self._popped and self._recorded(task)

    def _recorded(self, task: int) -> bool:
        if self._tasks.batch is None:
            return False
        state = self._core.ledger.batches[self._tasks.batch]
        return task in state.done or task in state.failed


def _advance(work: Work, future: asyncio.Future[Any]) -> bool:
    """Go on with some work; whether there is more of it."""
    if future.done():
        return False  # the connection is gone
    try:
        next(work)
    except StopIteration as made:
        future.set_result(made.value)
    except Exception as error:
        future.set_exception(error)  # the dialect tells the peer, or logs it
    else:
        return True
    return False


METHODS = {
    "__contains__": "contains",
    "__getitem__": "getitem",
    "__setitem__": "setitem",
    "__len__": "length",
}
"""The names that a proxy sends, and the methods that serve them: these take the caller first."""
