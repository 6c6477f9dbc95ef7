"""The arguments of `imap`, taken from an iterable that may be slow, or endless, or wait itself."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

GATHER_SECONDS = 0.001
"""For so long an argument waits for others that go with it at most."""


class Pulling:
    """Arguments that one thread (`run`) takes from an iterable and another one sends.

    Two, because whatever came out of the iterable is to be sent even if nothing further comes: the
    iterable may wait for the results.

    Args:
        changed: the pool's; notified when there may be room again.
        iterable: where they come from.
        has_room: whether one more call may follow so many.
    """

    def __init__(
        self, changed: threading.Condition, iterable: Iterable[Any], has_room: Callable[[int], bool]
    ) -> None:
        self._changed = changed
        self._iterable = iterable
        self._has_room = has_room
        self._items: deque[Any] = deque()
        self._made = 0
        self._wanted = 1
        self._news = threading.Event()
        self._over = False
        self._first = True
        self.error: BaseException | None = None
        """What the iterable raised."""

    def run(self) -> None:
        """Take all of them."""
        try:
            for item in self._iterable:
                self._items.append(item)
                self._made += 1
                if len(self._items) >= self._wanted and not self._news.is_set():
                    self._news.set()
                if not self._may_go_on():
                    with self._changed:
                        self._changed.wait_for(self._may_go_on)
                if self._over:
                    return
        except BaseException as error:
            # It goes to whoever takes the results: nobody else would hear of it.
            self.error = error
        finally:
            self._over = True
            self._news.set()

    def _may_go_on(self) -> bool:
        return self._over or self._has_room(self._made)

    def stop(self) -> None:
        """No more are wanted; whoever calls this notifies ``changed``."""
        self._over = True
        self._news.set()

    def take(self, count: int) -> list[Any]:
        """Those that are there, after a moment: one to ``count``; none at the end."""
        self._wait(1)
        if not self._first and len(self._items) < count and not self._over:
            self._wait(count, GATHER_SECONDS)
        self._first = False
        return self._taken(count)

    def _taken(self, count: int) -> list[Any]:
        return [self._items.popleft() for _ in range(min(count, len(self._items)))]

    def _wait(self, count: int, seconds: float | None = None) -> None:
        """Wait until so many are there, or the end; or for so long."""
        self._wanted = count
        while len(self._items) < count and not self._over:
            self._news.clear()
            if len(self._items) < count and not self._over and not self._news.wait(seconds):
                return
