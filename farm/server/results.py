"""The result dict of plain `BaseManager` clients: results of the task queue's calls, by id."""

from __future__ import annotations

import array
import asyncio
from collections.abc import Callable
from typing import Any

from farm.errors import ProtocolError
from farm.server.core import Core
from farm.server.queue import MAX_WAIT, Caller, TaskQueue, result_payload
from farm.wire import builtins


class ResultDict:
    """What ``get_result_dict()`` gives; values are builtins.

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

    def getitem(self, caller: Caller, task: Any) -> Any:
        """The result of a call.

        As with `get` and `pop`, the answer is a future while something waits to be journalled.

        Raises:
            KeyError: there is none (yet).
            RuntimeError: the call failed; the text says how.
            TypeError: its result is not made of builtins, so that only farm's own client reads it.
        """
        del caller
        return self._settled(lambda: self._read(task))

    def _settled(self, read: Callable[[], Any]) -> Any:
        """What ``read`` gives once all that is recorded by now can be read in the journal."""
        if not self._core.journal.pending:
            return read()
        future: asyncio.Future[Any] = self._core.loop.create_future()

        def answer() -> None:
            if future.done():
                return  # the connection is gone
            try:
                future.set_result(read())
            except Exception as error:
                future.set_exception(error)  # the dialect tells the peer, or logs it

        self._core.answer(answer)
        return future

    def _read(self, task: Any) -> Any:
        if not self._has(task):
            raise KeyError(task)
        outcome = self._core.journal.outcomes_from(self._batch_of(task), task, rows=1)[0]
        if outcome.failure is not None:
            failure = outcome.failure
            name = f"{failure.type_name}: " if failure.type_name else ""
            raise RuntimeError(f"call {task} failed ({failure.kind}): {name}{failure.text}")
        try:
            values = builtins.loads(outcome.payload)
        except ProtocolError as error:
            raise TypeError(f"the result of call {task} is not a builtin value: {error}") from error
        return values[task - outcome.start + outcome.offset]

    def get(self, caller: Caller, task: Any, default: Any = None) -> Any:
        """As ``results[task]``, but ``default`` where there is no result."""
        del caller
        return self._settled(lambda: self._read(task) if self._has(task) else default)

    def pop(self, caller: Caller, task: Any, *default: Any) -> Any:
        """As ``results[task]``, and take it away, unless it cannot be read here."""
        del caller
        return self._settled(lambda: self._take(task, *default))

    def _take(self, task: Any, *default: Any) -> Any:
        if default and not self._has(task):
            return default[0]
        try:
            value = self._read(task)
        except RuntimeError:
            self._forget(task)
            raise
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

    def keys(self, caller: Caller) -> list[int]:
        """The ids of the calls that have a result or have failed."""
        del caller
        if self._tasks.batch is None:
            return []
        state = self._core.ledger.batches[self._tasks.batch]
        known = (i for part in (*state.done, *state.failed) for i in range(*part))
        return sorted(index for index in known if index not in self._popped)

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


METHODS = {
    "__contains__": "contains",
    "__getitem__": "getitem",
    "__setitem__": "setitem",
    "__len__": "length",
}
"""The names that a proxy sends, and the methods that serve them: these take the caller first."""
