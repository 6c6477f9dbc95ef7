"""One batch of calls: those that wait to be sent, and those whose results are to come.

Whoever makes a call puts it beside the others; all else is done by threads that Ctrl-C does not
interrupt (see `farm.client.stream`).
"""

from __future__ import annotations

import pickle
import threading
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from farm.batch import spec as specs
from farm.client.feed import Feed
from farm.client.pending import AsyncResult
from farm.errors import FarmError

if TYPE_CHECKING:
    from farm.client.link import Link

MESSAGE_BYTES = 1 << 20
"""Bytes of calls that are sent together, unless one is larger."""

MAX_CALLS = 100_000
MAX_BYTES = 256 << 20
"""At which a batch is closed and another one is begun."""


class Owner(Protocol):
    """Whose calls they are."""

    link: Link
    changed: threading.Condition

    def wake(self) -> None:
        """Have a thread of its own look at what waits."""

    def ended(self, calls: Calls, /) -> None:
        """These are over."""


class _Waiting(NamedTuple):
    """A call that is not sent."""

    data: bytes
    result: AsyncResult
    end: int
    """Bytes of the batch's calls up to this one: no counter has to be kept in step with them."""


class Calls:
    """One batch of calls: those that wait to be sent, and those whose results are to come.

    Args:
        stream: sends them.
        spec: what the batch is.
    """

    def __init__(self, stream: Owner, spec: specs.Spec) -> None:
        self._stream = stream
        self.feed = Feed(stream.link, stream.changed, spec, self, self._on_room)
        self.closing = False
        self._open: dict[int, AsyncResult] = {}
        self._waiting: deque[_Waiting] = deque()
        self._sent_bytes = 0
        # Each call has a few bytes around it in a message, the shortest as many as itself.
        self._together = min(MESSAGE_BYTES, stream.link.largest // 2)

    @property
    def count(self) -> int:
        """Calls without a result."""
        return len(self._open) + len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the calls that wait to be sent."""
        return self._made_bytes - self._sent_bytes

    @property
    def _made_bytes(self) -> int:
        return self._waiting[-1].end if self._waiting else self._sent_bytes

    @property
    def is_full(self) -> bool:
        """Whether the next call goes into another batch."""
        made = self.feed.total + len(self._waiting)
        return made >= MAX_CALLS or self._made_bytes >= MAX_BYTES or self.feed.is_closed

    @property
    def is_urgent(self) -> bool:
        """Whether something is to be sent, and to wait for nothing that goes with it."""
        if self.feed.is_idle:
            return bool(self._waiting) or (self.closing and self.feed.may_end)
        return self.waiting_bytes >= self._together and self.feed.has_room

    def add(self, data: bytes, result: AsyncResult) -> None:
        """One more call; with the lock, as all that follows."""
        made, size = self._made_bytes, len(data)
        waits = made - self._sent_bytes
        if not self._waiting or waits < self._together <= waits + size:
            self._stream.wake()  # which has to wait for the lock
        self._waiting.append(_Waiting(data, result, made + size))

    def close(self) -> None:
        """Take no further calls."""
        self._stream.wake()
        self.closing = True

    def flush(self) -> None:
        """Send what waits, as far as there is room; not in a thread that Ctrl-C interrupts.

        Raises:
            FarmError: nothing can be sent any more.
        """
        while self._waiting and self.feed.has_room:
            items = self._next()
            close = self.closing and not self._waiting
            self.feed.send(pickle.dumps(items, 5), len(items), close=close)
        if self.closing and not self._waiting and self.feed.may_end:
            self.feed.send(b"", 0, close=True)

    def _next(self) -> list[bytes]:
        """What goes into one message; from here on the calls have the numbers of their tasks."""
        items: list[bytes] = []
        size = 0
        while self._waiting and (not items or size + len(self._waiting[0].data) <= self._together):
            data, result, self._sent_bytes = self._waiting[0]
            self._open[self.feed.total + len(items)] = result
            self._waiting.popleft()  # after it: what is in neither could not be told of its end
            items.append(data)
            size += len(data)
        return items

    def _on_room(self) -> None:
        """A message has arrived: what waited meanwhile goes next."""
        if self.feed.is_idle:
            self.flush()
        elif self._waiting:
            self._stream.wake()

    # -- as a `Taker` -------------------------------------------------------------------------

    def put(self, start: int, values: list[Any]) -> None:
        """Results from the index ``start`` on."""
        result = None
        try:
            for index, value in enumerate(values, start):
                result = self._open.pop(index, None)
                if result is not None:
                    result.settle(value)
        except BaseException as error:
            if result is not None:
                result.fail(error)  # it is not among those any more whom the end is told
            raise

    def put_error(self, index: int, error: BaseException) -> None:
        """A call has failed."""
        result = self._open.get(index)
        if result is not None:
            result.fail(error)
            self._open.pop(index, None)

    def page_over(self) -> None:
        """Wake whoever waits for a result, or for room."""
        with self._stream.changed:
            self._stream.changed.notify_all()

    def cut(self, start: int, error: FarmError) -> None:
        """The calls from the index ``start`` on were not taken, and the next go into another batch.

        Those that wait to be sent are not sent.
        """
        with self._stream.changed:
            numbers = [index for index in list(self._open) if index >= start]
            left = [*(self._open[index] for index in numbers), *self._left_waiting()]
        self._fail(left, error)
        for index in numbers:  # after it: all are told
            self._open.pop(index, None)
        self._waiting.clear()
        self.page_over()

    def _left_waiting(self) -> list[AsyncResult]:
        return [one.result for one in self._waiting]

    def end(self, error: FarmError | None) -> None:
        """Nothing further comes. Each step may be done again: it may be interrupted anywhere."""
        with self._stream.changed:
            self.closing = self.feed.is_closed = True
            left = [*self._open.values(), *self._left_waiting()]
        self._fail(left, error)
        self._open.clear()  # after it: all are told
        self._waiting.clear()
        if error is None:
            self.feed.drop()
        self._stream.ended(self)

    def _fail(self, results: list[AsyncResult], error: FarmError | None) -> None:
        """Tell all of them, whatever it raises to tell one."""
        with ExitStack() as steps:
            for result in reversed(results):  # the last one is told first
                steps.callback(self._fail_one, result, error)

    def _fail_one(self, result: AsyncResult, error: FarmError | None) -> None:
        result.fail(self.feed.reason(error))
