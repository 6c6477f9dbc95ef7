"""One function over many arguments: pickled in blocks, sent as they are wanted."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol

from farm.batch import spec as specs
from farm.batch.ranges import RangeSet
from farm.client import byvalue
from farm.client.feed import Feed
from farm.client.submission import BLOCK_BYTES, SPARE_BYTES, call_of
from farm.errors import FarmError, UsageError

if TYPE_CHECKING:
    from farm.client.link import Link

FIRST_ITEMS = 16
"""In the first block, whose size tells how many go into the next."""

GROWTH = 8
"""By which a block may have more items than the one before."""

MAX_ITEMS = 20_000
"""In one block, unless the caller says how many."""


Take = Callable[[int], list[Any]]
"""Gives the next arguments, at most so many; none at their end."""


class Sink(Protocol):
    """Where the results go."""

    def put(self, start: int, values: list[Any]) -> None:
        """Results from the index ``start`` on."""

    def put_error(self, index: int, error: BaseException) -> None:
        """A call has failed."""

    def fail(self, error: BaseException) -> None:
        """There will be no more results."""


class Mapping:
    """A function over arguments, as one batch.

    Args:
        link: to the server.
        changed: notified when results have come; the lock.
        function: what is called.
        items: what each item is, as `farm.batch.spec.Spec.items`.
        options: of the batch.
        sink: where the results go.
        on_end: called when there is nothing more to come.

    Raises:
        UsageError: the function cannot be sent.
    """

    def __init__(
        self,
        link: Link,
        changed: threading.Condition,
        function: Callable[..., Any],
        items: Literal["one", "star"],
        options: specs.Options,
        sink: Sink,
        on_end: Callable[[Mapping], None],
    ) -> None:
        name = getattr(function, "__qualname__", None) or type(function).__name__
        spec = specs.Spec(name[:200], call_of(function), options, items=items)
        self._link = link
        self._changed = changed
        self._feed = Feed(link, changed, spec, self)
        self._sink = sink
        self._on_end = on_end
        self._over = False
        self._came = RangeSet()  # calls that have a result

    def send(self, take: Take, size: int | None, *, at_once: bool = False) -> int:
        """Send all arguments, as fast as they are taken.

        Args:
            take: gives the arguments, one for each call.
            size: items in one block; None to have it chosen.
            at_once: the next argument may be long in coming; else a block waits for the one after
                it, so that the last one can say that it is.

        Returns:
            How many there were.

        Raises:
            FarmError: they cannot be sent.
            Exception: what ``take`` raised. The batch is given up then.
        """
        waiting: tuple[bytes, int] | None = None
        try:
            for block in blocks_of(take, size, self._link.largest - SPARE_BYTES):
                if waiting is not None:
                    self._send(*waiting)
                waiting = block
                if at_once:
                    self._send(*waiting)
                    waiting = None
                if self._over:  # there may be no end of them
                    break
            self._send(*(waiting or (b"", 0)), close=True)
        except BaseException as error:
            self._sink.fail(error)  # before its end, which says less
            self.cancel()
            raise
        return self._feed.total

    def _send(self, payload: bytes, count: int, *, close: bool = False) -> None:
        def may_send() -> bool:
            return self._over or (self._feed.has_room if count else self._feed.may_end)

        with self._changed:
            self._changed.wait_for(may_send)
            if self._over:
                return
            self._feed.send(payload, count, close=close)
        self._link.drain()

    def cancel(self) -> None:
        """Give up what has no result."""
        with self._changed:
            self._feed.give_up()
            is_unknown = self._feed.is_unknown
        if is_unknown:
            self.end(self._feed.reason(None))
        self._link.drain()

    # -- as a `Taker` -------------------------------------------------------------------------

    def put(self, start: int, values: list[Any]) -> None:
        """Results from the index ``start`` on."""
        for first, stop in self._new(start, start + len(values)):
            self._sink.put(first, values[first - start : stop - start])

    def put_error(self, index: int, error: BaseException) -> None:
        """A call has failed."""
        if self._new(index, index + 1):
            self._sink.put_error(index, error)

    def _new(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What of it had no result: a task that somebody retries ends twice, and counts once."""
        new = [(start, stop)]
        if self._came.intersection(start, stop):
            new = list(RangeSet(new) - self._came)
        self._came.add(start, stop)
        return new

    def page_over(self) -> None:
        """Wake whoever waits for results, or for room."""
        with self._changed:
            self._changed.notify_all()

    def end(self, error: FarmError | None) -> None:
        """Nothing further comes."""
        if error is None:
            self._feed.drop()
        with self._changed:
            if self._over:
                return
            self._over = True
            is_whole = self._feed.is_complete and self._came.count >= self._feed.total
        if not is_whole:
            self._sink.fail(self._feed.reason(error))
        self._on_end(self)
        with self._changed:
            self._changed.notify_all()


def blocks_of(take: Take, size: int | None, largest: int) -> Iterator[tuple[bytes, int]]:
    """Arguments in blocks: each one's pickle and how many are in it.

    Each has as many as make up `BLOCK_BYTES`, judged by the block before.

    Args:
        take: gives the arguments, one for each call.
        size: items in each block; None to have it chosen.
        largest: bytes of a block.

    Raises:
        UsageError: they cannot be pickled, or one is too large to send.
    """
    wanted = min(size or FIRST_ITEMS, sys.maxsize)
    start = 0
    while items := take(wanted):
        weight = 0
        for payload, count in _pickled(items, start, largest):
            yield payload, count
            weight += len(payload)
        start += len(items)
        if size is None:
            fitting = BLOCK_BYTES * len(items) // weight
            wanted = max(1, min(fitting, len(items) * GROWTH, MAX_ITEMS))


def _pickled(items: list[Any], start: int, largest: int) -> Iterator[tuple[bytes, int]]:
    """One block, or several where they are too large together."""
    try:
        payload = byvalue.dumps(items)
    except Exception as error:
        # Pickling runs the objects' own methods, which may raise anything.
        last = start + len(items) - 1
        raise UsageError(f"arguments {start} to {last} cannot be sent: {error}") from error
    if len(payload) <= largest:
        yield payload, len(items)
    elif len(items) == 1:
        raise UsageError(
            f"argument {start} has {len(payload):,} bytes; the limit is {largest:,}. Pass names of "
            "files instead of what is in them."
        )
    else:
        half = len(items) // 2
        yield from _pickled(items[:half], start, largest)
        yield from _pickled(items[half:], start + half, largest)
