"""Calls that are made one by one, sent together: an open batch to which they are appended.

The first call goes at once; those that follow while it is on its way go together when it is
acknowledged, or a millisecond later. So that one call waits for nothing, and ten thousand take some
fifty messages.
"""

from __future__ import annotations

import pickle
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from farm.batch import spec as specs
from farm.client.feed import Feed
from farm.client.pending import AsyncResult
from farm.client.submission import SPARE_BYTES
from farm.errors import FarmError, UsageError

if TYPE_CHECKING:
    from farm.client.link import Link

FLUSH_SECONDS = 0.001
"""For so long a call waits for others at most."""

MESSAGE_BYTES = 1 << 20
"""Bytes of calls that are sent together, unless one is larger."""

MAX_CALLS = 100_000
MAX_BYTES = 256 << 20
"""At which a batch is closed and another one is begun."""

MAX_OPEN = 1_000_000
MAX_WAITING_BYTES = 64 << 20
"""Calls without a result, and bytes that are not sent; whoever makes another call waits."""


class _Calls:
    """One batch of calls: those that wait to be sent, and those whose results are to come.

    Args:
        stream: whose lock it uses.
        spec: what the batch is.
    """

    def __init__(self, stream: CallStream, spec: specs.Spec) -> None:
        self._stream = stream
        self.feed = Feed(stream.link, stream.changed, spec, self, self.flush_idle)
        self.open: dict[int, AsyncResult] = {}
        self.waiting: deque[bytes] = deque()
        self.waiting_bytes = 0
        self.closing = False
        self._total = 0
        self._bytes = 0
        # Each call has a few bytes around it in a message, the shortest as many as itself.
        self._together = min(MESSAGE_BYTES, stream.link.largest // 2)

    @property
    def is_full(self) -> bool:
        """Whether the next call goes into another batch."""
        return self._total >= MAX_CALLS or self._bytes >= MAX_BYTES or self.feed.is_closed

    def add(self, data: bytes, result: AsyncResult) -> FarmError | None:
        """One more call; with the lock, as all that follows. Why nothing can be sent, if so."""
        self.open[self._total] = result
        self._total += 1
        self._bytes += len(data)
        self.waiting.append(data)
        self.waiting_bytes += len(data)
        if self.feed.is_idle or self.waiting_bytes >= self._together:
            return self.try_to_flush()
        return None

    def try_to_flush(self) -> FarmError | None:
        """Send what waits, as far as there is room; the error, if nothing can be sent."""
        try:
            self.flush()
        except FarmError as error:
            return error
        return None

    def flush(self) -> None:
        """Send what waits, as far as there is room.

        Raises:
            FarmError: nothing can be sent any more.
        """
        while self.waiting and self.feed.has_room:
            items = self._next()
            close = self.closing and not self.waiting
            self.feed.send(pickle.dumps(items, 5), len(items), close=close)
        if self.closing and not self.waiting and self.feed.may_end:
            self.feed.send(b"", 0, close=True)

    def _next(self) -> list[bytes]:
        """What goes into one message."""
        items: list[bytes] = []
        size = 0
        while self.waiting and (not items or size + len(self.waiting[0]) <= self._together):
            items.append(self.waiting.popleft())
            size += len(items[-1])
        self.waiting_bytes -= size
        return items

    def flush_idle(self) -> None:
        """What was on its way has arrived: what waited meanwhile goes next."""
        if self.feed.is_idle:
            self.flush()

    # -- as a `Taker` -------------------------------------------------------------------------

    def put(self, start: int, values: list[Any]) -> None:
        """Results from the index ``start`` on."""
        for index, value in enumerate(values, start):
            result = self.open.pop(index, None)
            if result is not None:
                result.settle(value)

    def put_error(self, index: int, error: BaseException) -> None:
        """A call has failed."""
        result = self.open.pop(index, None)
        if result is not None:
            result.fail(error)

    def page_over(self) -> None:
        """Wake whoever waits for a result, or for room."""
        with self._stream.changed:
            self._stream.changed.notify_all()

    def end(self, error: FarmError | None) -> None:
        """Nothing further comes."""
        if error is None:
            self.feed.drop()
        with self._stream.changed:
            self.waiting.clear()
            self.waiting_bytes = 0
            left, self.open = list(self.open.values()), {}
        for result in left:
            result.fail(self.feed.reason(error))
        self._stream.ended(self)


class CallStream:
    """Calls of one pool.

    Args:
        link: to the server.
        changed: notified when results have come; the stream's lock as well.
        name: of its batches, for people.
        options: of its batches.
    """

    def __init__(
        self, link: Link, changed: threading.Condition, name: str, options: specs.Options
    ) -> None:
        self.link = link
        self.changed = changed
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        self._spec = specs.Spec(name, specs.EachCall(python), options)
        self._unfinished: list[_Calls] = []  # the last one takes calls, unless it is closed
        self._closed = False
        self._stopped = False
        self._late = threading.Event()
        self._flusher = threading.Thread(target=self._flush_loop, name="farm-calls", daemon=True)
        self._flusher.start()

    def add(self, data: bytes, result: AsyncResult) -> None:
        """Make a call; one that cannot be sent has failed.

        Args:
            data: the call, pickled.
            result: settled when its result comes.

        Raises:
            ValueError: the stream is closed.
        """
        largest = self.link.largest - SPARE_BYTES
        if len(data) > largest:
            result.fail(
                UsageError(
                    f"a call of {len(data):,} bytes; the limit is {largest:,}. Pass names of files "
                    "instead of what is in them."
                )
            )
            return
        with self.changed:
            if not self.link.is_own_thread:  # in a callback: room comes by that thread alone
                self.changed.wait_for(self._has_room)
            if self._closed:
                raise ValueError("Pool not running")
            calls = self._current()
            refused = calls.add(data, result)
            if calls.waiting:
                self._late.set()
        if refused is not None:
            calls.end(refused)
        self.link.drain()

    def _has_room(self) -> bool:
        if self._closed or not self._unfinished:
            return True
        waiting = self._unfinished[-1].waiting_bytes
        return self.open_calls < MAX_OPEN and waiting < MAX_WAITING_BYTES

    @property
    def open_calls(self) -> int:
        """Calls that have no result yet."""
        return sum(len(calls.open) for calls in self._unfinished)

    def _current(self) -> _Calls:
        last = self._unfinished[-1] if self._unfinished else None
        if last is not None and not last.closing:
            if not last.is_full:
                return last
            self._close(last)
        self._unfinished.append(_Calls(self, self._spec))
        return self._unfinished[-1]

    def _close(self, calls: _Calls) -> None:
        calls.closing = True
        self._late.set()

    def _flush_loop(self) -> None:
        """Send what has waited for long enough."""
        pause = threading.Event()  # never set
        while True:
            self._late.wait()
            pause.wait(FLUSH_SECONDS)
            self._late.clear()
            if self._stopped:  # looked at after that, so that a `stop` meanwhile is not missed
                return
            with self.changed:
                waiting = list(self._unfinished)
            for calls in waiting:
                self._flush(calls)
            self.link.drain()

    def _flush(self, calls: _Calls) -> None:
        with self.changed:
            refused = calls.try_to_flush()
        if refused is not None:
            calls.end(refused)

    def ended(self, calls: _Calls) -> None:
        """A batch of calls is over."""
        with self.changed:
            if calls in self._unfinished:
                self._unfinished.remove(calls)
            self.changed.notify_all()

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is on the farm any more."""
        return not self._unfinished

    def close(self) -> None:
        """No further calls are made; those that were go on."""
        with self.changed:
            self._closed = True
            for calls in self._unfinished:
                self._close(calls)

    def cancel(self) -> None:
        """Give up every call that has no result."""
        with self.changed:
            self._closed = True
            for calls in self._unfinished:
                calls.feed.give_up()
            self.changed.notify_all()
        self.link.drain()

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self._late.set()
        if self._flusher is not threading.current_thread():
            self._flusher.join()
