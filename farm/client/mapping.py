"""One function over many arguments: pickled in blocks, sent as they are wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Protocol

from farm.batch import spec as specs
from farm.client import byvalue
from farm.client.feed import Feed
from farm.client.submission import BLOCK_BYTES, SPARE_BYTES, call_of
from farm.errors import FarmError, UsageError
from farm.wire.frames import MAX_FRAME

if TYPE_CHECKING:
    from farm.client.link import Link

FIRST_ITEMS = 16
"""In the first block, whose size tells how many go into the next."""

GROWTH = 8
"""By which a block may have more items than the one before."""

MAX_ITEMS = 20_000
"""In one block, unless the caller says how many."""


Room = Callable[[int, int], bool]


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
        changed: notified when results have come.
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
        self.came = 0
        """Calls that have a result."""

    def send(self, arguments: Iterable[Any], size: int | None, room: Room | None = None) -> int:
        """Send all arguments, as fast as they are taken.

        Args:
            arguments: one item for each call.
            size: items in one block; None to have it chosen.
            room: whether more calls may follow those that were made; None if they always may.

        Returns:
            How many there were.

        Raises:
            FarmError: they cannot be sent.
            Exception: what ``arguments`` raised. The batch is given up then.
        """
        waiting: tuple[bytes, int] | None = None
        try:
            for block in blocks_of(arguments, size):
                if waiting is not None:
                    self._send(*waiting)
                waiting = block
                if room is not None:  # the next one may be long in coming
                    self._send(*waiting, room)
                    waiting = None
            self._send(*(waiting or (b"", 0)), close=True)
        except BaseException:
            self.cancel()
            raise
        return self._feed.total

    def _send(
        self, payload: bytes, count: int, room: Room | None = None, *, close: bool = False
    ) -> None:
        def may_send() -> bool:
            fits = room is None or room(self._feed.total, count)
            return self._over or (self._feed.has_room and fits)

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
        self._link.drain()

    # -- as a `Taker` -------------------------------------------------------------------------

    def put(self, start: int, values: list[Any]) -> None:
        """Results from the index ``start`` on."""
        self._sink.put(start, values)
        self.came += len(values)

    def put_error(self, index: int, error: BaseException) -> None:
        """A call has failed."""
        self._sink.put_error(index, error)
        self.came += 1

    def page_over(self) -> None:
        """Wake whoever waits for results, or for room."""
        with self._changed:
            self._changed.notify_all()

    def end(self, error: FarmError | None) -> None:
        """Nothing further comes."""
        with self._changed:
            if self._over:
                return
            self._over = True
            is_whole = self._feed.is_closed and self.came >= self._feed.total
        if error is not None or not is_whole:
            self._sink.fail(error or FarmError("the pool was terminated before this was done"))
        with self._changed:
            self._changed.notify_all()
        if error is None:
            self._feed.drop()
        self._on_end(self)


def blocks_of(arguments: Iterable[Any], size: int | None) -> Iterator[tuple[bytes, int]]:
    """Arguments in blocks: each one's pickle and how many are in it.

    Each has as many as make up `BLOCK_BYTES`, judged by the block before.

    Args:
        arguments: one item for each call.
        size: items in each block; None to have it chosen.

    Raises:
        UsageError: they cannot be pickled, or one is too large to send.
    """
    wanted = size or FIRST_ITEMS
    remaining = iter(arguments)
    start = 0
    while items := list(islice(remaining, wanted)):
        weight = 0
        for payload, count in _pickled(items, start):
            yield payload, count
            weight += len(payload)
        start += len(items)
        if size is None:
            fitting = BLOCK_BYTES * len(items) // weight
            wanted = max(1, min(fitting, wanted * GROWTH, MAX_ITEMS))


def _pickled(items: list[Any], start: int) -> Iterator[tuple[bytes, int]]:
    """One block, or several where they are too large together."""
    try:
        payload = byvalue.dumps(items)
    except Exception as error:
        # Pickling runs the objects' own methods, which may raise anything.
        last = start + len(items) - 1
        raise UsageError(f"arguments {start} to {last} cannot be sent: {error}") from error
    if len(payload) <= MAX_FRAME - SPARE_BYTES:
        yield payload, len(items)
    elif len(items) == 1:
        raise UsageError(
            f"argument {start} has {len(payload):,} bytes; the limit is "
            f"{MAX_FRAME - SPARE_BYTES:,}. Pass names of files instead."
        )
    else:
        half = len(items) // 2
        yield from _pickled(items[:half], start)
        yield from _pickled(items[half:], start + half)
