"""Calls that are made one by one, sent together: an open batch to which they are appended.

A call that comes while nothing is on its way goes at once; those that follow meanwhile go together
when it is acknowledged, or a millisecond later. So that one call waits for nothing, and ten
thousand take some fifty messages.

Ctrl-C interrupts the main thread alone, which mostly is the one that makes calls, and may do so
between any two steps. So whoever makes a call only puts it beside the others, in one step; what has
several of them, to number calls and to send them, is done by a thread of the stream's own, or by
the link's.
"""

from __future__ import annotations

import logging
import pickle
import queue
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.batch import spec as specs
from farm.client.feed import Feed
from farm.client.pending import AsyncResult
from farm.client.submission import SPARE_BYTES
from farm.errors import FarmError, UsageError

if TYPE_CHECKING:
    from farm.client.link import Link

log = logging.getLogger("farm.client")

FLUSH_SECONDS = 0.001
"""For so long a call waits for others at most."""

AGAIN_SECONDS = 0.1
"""Before calls are sent again, where an attempt has failed."""

MESSAGE_BYTES = 1 << 20
"""Bytes of calls that are sent together, unless one is larger."""

MAX_CALLS = 100_000
MAX_BYTES = 256 << 20
"""At which a batch is closed and another one is begun."""

MAX_OPEN = 1_000_000
MAX_WAITING_BYTES = 64 << 20
"""Calls without a result, and bytes that are not sent; whoever makes another call waits."""


class _Waiting(NamedTuple):
    """A call that is not sent."""

    data: bytes
    result: AsyncResult
    end: int
    """Bytes of the batch's calls up to this one: no counter has to be kept in step with them."""


class _Calls:
    """One batch of calls: those that wait to be sent, and those whose results are to come.

    Args:
        stream: whose lock it uses.
        spec: what the batch is.
    """

    def __init__(self, stream: CallStream, spec: specs.Spec) -> None:
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
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()  # takes one in a single step
        self._flusher = threading.Thread(target=self._flush_loop, name="farm-calls", daemon=True)
        self._flusher.start()

    @property
    def is_own_thread(self) -> bool:
        """Whether the stream's own thread asks this: while that waits, no call is sent."""
        return threading.current_thread() is self._flusher

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
            if not (self.link.is_own_thread or self.is_own_thread):  # these are who make room
                self.changed.wait_for(self._has_room)
            if self._closed:
                raise ValueError("Pool not running")
            self._current().add(data, result)

    def _has_room(self) -> bool:
        if self._closed or not self._unfinished:
            return True
        waiting = self._unfinished[-1].waiting_bytes
        return self.open_calls < MAX_OPEN and waiting < MAX_WAITING_BYTES

    @property
    def open_calls(self) -> int:
        """Calls that have no result yet."""
        return sum(calls.count for calls in self._unfinished)

    def _current(self) -> _Calls:
        last = self._unfinished[-1] if self._unfinished else None
        if last is not None and not last.closing:
            if not last.is_full:
                return last
            last.close()
        self._unfinished.append(_Calls(self, self._spec))
        return self._unfinished[-1]

    def wake(self) -> None:
        """Have the stream's thread look at what waits."""
        if self._news.empty():
            self._news.put(None)

    def _flush_loop(self) -> None:
        """Send what is urgent, and what has waited for long enough."""
        while not self._stopped:
            self._news.get()
            try:
                self._send()
            except Exception:
                # Out of memory, say. All calls need this thread.
                log.exception("calls could not be sent, and are tried again")
                time.sleep(AGAIN_SECONDS)
                self.wake()

    def _send(self) -> None:
        self._gather()
        with self.changed:
            waiting = list(self._unfinished)
        for calls in waiting:
            self._flush(calls)
        self.link.drain()

    def _gather(self) -> None:
        """Wait for calls that go together, for a moment at most."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while not self._is_urgent():
            try:
                self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return

    def _is_urgent(self) -> bool:
        with self.changed:
            return self._stopped or any(calls.is_urgent for calls in self._unfinished)

    def _flush(self, calls: _Calls) -> None:
        try:
            with self.changed:
                calls.flush()
        except FarmError as error:
            calls.feed.refused(error)
        except Exception as error:
            # Out of memory, say. The calls have numbers, and can have no others.
            calls.feed.refused(FarmError(f"calls could not be sent: {error!r}"))

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
                calls.close()

    def give_up(self) -> None:
        """Give up every call that has no result; may be interrupted, and repeated.

        Whoever calls this drains the link.
        """
        with self.changed:
            self._closed = True
            for calls in self._unfinished:
                calls.feed.give_up()
            unknown = [calls for calls in self._unfinished if calls.feed.is_unknown]
            self.changed.notify_all()
        for calls in unknown:
            calls.end(None)

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self.wake()
        if not self.is_own_thread:
            self._flusher.join()
