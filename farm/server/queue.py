"""The task queue of plain `BaseManager` clients: an open batch, each task of which is one call.

A plain client may put calls, and may work itself: what it took with `get` is leased to its
connection, and comes back when that closes.
"""

from __future__ import annotations

import asyncio
import pickle
import queue
import re
import reprlib
from collections.abc import Callable
from typing import Any

from farm.batch import spec as specs
from farm.errors import RequestError
from farm.server.around import QUEUE_TOKEN
from farm.server.core import Core
from farm.server.reading import BatchRow
from farm.server.waiting import Waiter
from farm.wire import builtins
from farm.wire.messages import Block

NAME = "queue"
MAX_WAIT = 3600.0
"""Seconds a `get` or `wait` without a timeout is held back before the client must ask again."""

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*\Z")


class Caller:
    """The connection behind a call, as a node that may hold leases.

    Args:
        core: the server's state.
        address: the peer's, for people.
        node: a negative id, so that no real node has it.
        who: what it came in with (see `Turns.read`).
    """

    def __init__(self, core: Core, address: str, node: int, who: str = "") -> None:
        self._core = core
        self.who = who
        self.address = address
        self.node = node
        self._joined = False
        self._waiter: Waiter | None = None

    def join(self) -> None:
        """From now on it may hold leases; one task at a time counts as one slot."""
        if not self._joined:
            self._joined = True
            self._core.ledger.join(self.node, f"plain {self.address}", 1)

    def wait(
        self, batch: int, seconds: float, ready: Callable[[], bool], answer: Callable[[], None]
    ) -> None:
        """As `Core.wait`, for the one call that a connection has at a time."""
        self._waiter = self._core.wait(batch, seconds, ready, answer, self.who)

    def leave(self) -> None:
        """What it held is pending again, and it waits for nothing."""
        if self._waiter is not None:
            self._core.waiters.forget(self._waiter)
        if self._joined:
            self._core.leave(self.node)


class TaskQueue:
    """What ``get_task_queue()`` gives.

    Example:
        >>> BaseManager.register("get_task_queue")              # doctest: +SKIP
        >>> tasks = manager.get_task_queue()                    # doctest: +SKIP
        >>> tasks.put(("math:factorial", (20,), {}))            # doctest: +SKIP
        0
    """

    exposed = ("put", "get", "qsize", "empty")

    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def batch(self) -> int | None:
        """The id of the batch behind it, None until something was put."""
        return self._core.tokens.get(QUEUE_TOKEN)

    def put(self, caller: Caller, call: Any) -> int:
        """Add a call ``(target, args, kwargs)``; its id, by which the result is found.

        Raises:
            ValueError, TypeError: it is not such a call.
        """
        del caller
        self._core.check_writable()
        item = _checked_call(call)
        batch = self.batch or self._make()
        index = self._core.ledger.batches[batch].total
        block = Block(index, index + 1, builtins.dumps([item]))
        self._core.grow(batch, [block], close=False)
        return index

    def _make(self) -> int:
        core = self._core
        core.check_writable()
        batch = core.next_batch()
        row = BatchRow(batch, QUEUE_TOKEN, NAME, 0, specs.Options(), "", core.wall(), open=True)
        core.submit(row, specs.encode(specs.Spec(NAME, specs.QueueCall())), {}, [])
        return batch

    def get(
        self, caller: Caller, block: bool = True, timeout: float | None = None
    ) -> asyncio.Future[Any]:
        """Take a call: ``(id, target, args, kwargs)``.

        Raises:
            queue.Empty: there is none, after ``timeout`` seconds if one is given.
            RequestError: nothing was ever put, and the journal takes no batch now.
        """
        caller.join()
        wait = 0.0 if not block else MAX_WAIT if timeout is None else min(timeout, MAX_WAIT)
        future: asyncio.Future[Any] = self._core.loop.create_future()
        deadline = self._core.loop.time() + wait
        self._try_get(caller, future, deadline)
        return future

    def _try_get(self, caller: Caller, future: asyncio.Future[Any], deadline: float) -> None:
        if future.done():
            return  # the connection is gone
        core = self._core
        try:
            batch = self.batch or self._make()
        except RequestError as error:
            future.set_exception(error)
            return
        index = core.ledger.lease_one(caller.node, batch)
        left = deadline - core.loop.time()
        if index is not None:
            core.begin(batch)
            future.set_result(self._call(batch, index))
        elif not left > 0:
            future.set_exception(queue.Empty())
        else:
            state = core.ledger.batches[batch]
            caller.wait(
                batch,
                left,
                lambda: bool(state.pending),
                lambda: self._try_get(caller, future, deadline),
            )

    def _call(self, batch: int, index: int) -> tuple[int, str, tuple[Any, ...], dict[str, Any]]:
        block = self._core.block(batch, index)
        if block is None:
            raise RuntimeError(f"the journal has lost task {index} of batch {batch}")
        # Made by `put` from values that were builtins.
        target, args, kwargs = builtins.loads(block.payload)[index - block.start]
        return index, target, args, kwargs

    def qsize(self, caller: Caller) -> int:
        """Calls that nobody has taken yet."""
        del caller
        return 0 if self.batch is None else self._core.ledger.batches[self.batch].waiting

    def empty(self, caller: Caller) -> bool:
        """Whether there is none."""
        return self.qsize(caller) == 0


def _checked_call(call: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    if not isinstance(call, tuple | list) or not 1 <= len(call) <= 3:
        raise ValueError(
            "put a call: (target, args, kwargs), such as ('math:factorial', (20,), {})"
        )
    target, args, kwargs = (*call, (), {})[:3] if len(call) == 1 else (*call, {})[:3]
    if not isinstance(target, str) or not _TARGET.match(target):
        raise ValueError(
            f"{reprlib.repr(target)} does not name a function: write 'module:function'"
        )
    if not isinstance(args, tuple | list):
        raise TypeError(f"the arguments are a tuple, not {type(args).__name__}")
    if not isinstance(kwargs, dict) or not all(isinstance(name, str) for name in kwargs):
        raise TypeError("the keyword arguments are a dict whose keys are names")
    return target, tuple(args), kwargs


def result_payload(value: Any) -> bytes:
    """The payload of one result that a plain client set."""
    return pickle.dumps([value], builtins.PROTOCOL)
