"""Blocks of one batch on their way: as many at a time as there is room for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from farm.client.blocks import Packed
from farm.client.feed import Feed

if TYPE_CHECKING:
    from farm.client.link import Link

_NOTHING = Packed(b"", 0)


class Sending:
    """Sends blocks, and then that they were all; by one thread.

    Args:
        link: to the server.
        changed: the lock of the feed.
        feed: where they go.
        is_over: whether nothing further is wanted; asked with the lock.
    """

    def __init__(
        self,
        link: Link,
        changed: threading.Condition,
        feed: Feed,
        is_over: Callable[[], bool],
    ) -> None:
        self._link = link
        self._changed = changed
        self._feed = feed
        self._is_over = is_over

    def send(self, blocks: Iterable[Packed], *, at_once: bool = False) -> None:
        """Send all of them, as fast as they are taken.

        Args:
            blocks: of arguments.
            at_once: the next one may be long in coming; else a block waits for the one after it, so
                that the last one can say that it is.

        Raises:
            FarmError: they cannot be sent.
        """
        waiting = _NOTHING
        for block in blocks:
            if waiting.count:
                self._send(waiting)
            waiting = block
            if at_once:
                self._send(waiting)
                waiting = _NOTHING
            if self._is_over():  # there may be no end of them
                return
        self._send(waiting, close=True)

    def _send(self, block: Packed, *, close: bool = False) -> None:
        def may_send() -> bool:
            return self._is_over() or (self._feed.has_room if block.count else self._feed.may_end)

        with self._changed:
            self._changed.wait_for(may_send)
            if self._is_over():
                return
            self._feed.send(block.payload, block.count, close=close)
        self._link.drain()
