"""Calls that are made one by one, sent together: an open batch to which they are appended.

A call that comes while nothing is on its way goes at once; those that follow meanwhile go together
when it is acknowledged, or a millisecond later. So that one call waits for nothing, and ten
thousand take some fifty messages.

Ctrl-C interrupts the main thread alone, which mostly is the one that makes calls, and may do so
between any two steps. So whoever makes a call only puts it beside the others, in one step; what has
several of them, to number calls, to send them and to give them up, is done by a thread of the
stream's own, or by the link's.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from farm.batch import spec as specs
from farm.client.calls import Calls
from farm.client.once import Once
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

MAX_OPEN = 1_000_000
MAX_WAITING_BYTES = 64 << 20
"""Calls without a result, and bytes that are not sent; whoever makes another call waits."""


class CallStream:
    """Calls of one pool.

    Args:
        link: to the server.
        changed: notified when results have come; the stream's lock as well.
        name: of its batches, for people.
        options: of its batches.
        on_cancel: called as its calls are given up, and maybe again; not by the main thread.
    """

    def __init__(
        self,
        link: Link,
        changed: threading.Condition,
        name: str,
        options: specs.Options,
        on_cancel: Callable[[], None] = lambda: None,
    ) -> None:
        self.link = link
        self.changed = changed
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        self._spec = specs.Spec(name, specs.EachCall(python), options)
        self._unfinished: list[Calls] = []  # the last one takes calls, unless it is closed
        self._on_cancel = on_cancel
        self._closed = False
        self._cancelled = False
        self._stopped = False
        self._ended = Once()  # the thread
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

    def _current(self) -> Calls:
        last = self._unfinished[-1] if self._unfinished else None
        if last is not None and not last.closing:
            if not last.is_full:
                return last
            last.close()
        self._unfinished.append(Calls(self, self._spec))
        return self._unfinished[-1]

    def wake(self) -> None:
        """Have the stream's thread look at what waits."""
        if self._news.empty():
            self._news.put(None)

    def _flush_loop(self) -> None:
        """Send what is urgent, and what has waited for long enough."""
        try:
            while not self._stopped:
                self._news.get()
                try:
                    self._send()
                except Exception:
                    # Out of memory, say. All calls need this thread.
                    log.exception("calls could not be sent, and are tried again")
                    time.sleep(AGAIN_SECONDS)
                    self.wake()
        finally:  # however it ends: nobody is to wait for what nobody sends
            try:
                self._give_up()
            finally:
                self._ended.set()

    def _send(self) -> None:
        self._gather()
        if self._cancelled:
            self._give_up()
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
            return (
                self._cancelled
                or self._stopped
                or any(calls.is_urgent for calls in self._unfinished)
            )

    def _flush(self, calls: Calls) -> None:
        try:
            with self.changed:
                calls.flush()
        except FarmError as error:
            calls.feed.refused(error)
        except Exception as error:
            # Out of memory, say. The calls have numbers, and can have no others.
            calls.feed.refused(FarmError(f"calls could not be sent: {error!r}"))

    def ended(self, calls: Calls) -> None:
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

    def cancel(self) -> None:
        """Give up every call that has no result.

        Unless it is a callback that asks for this, the stream's thread does it: Ctrl-C in the main
        one would keep some from being told.
        """
        self._closed = self._cancelled = True
        if self.link.is_own_thread or self.is_own_thread:
            self._give_up()
        else:
            self.wake()

    def _give_up(self) -> None:
        with self.changed:
            self._closed = True
            for calls in self._unfinished:
                calls.feed.give_up()
            unknown = [calls for calls in self._unfinished if calls.feed.is_unknown]
            self.changed.notify_all()
        for calls in unknown:
            calls.end(None)
        self._on_cancel()

    def stop(self) -> None:
        """End the thread; what has no result is given up."""
        self._stopped = True
        self.wake()
        if not self.is_own_thread:
            self._ended.wait()  # a `join` that is interrupted takes the thread for one that ended
            self._flusher.join()
