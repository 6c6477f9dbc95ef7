"""One function over many arguments: pickled in blocks, sent as they are wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol

from farm.batch import spec as specs
from farm.batch.ranges import RangeSet
from farm.client.blocks import Blocks, Packed, Take, Unsendable
from farm.client.feed import Feed
from farm.client.places import Places
from farm.client.sending import Sending
from farm.client.submission import SPARE_BYTES, call_of
from farm.errors import FarmError

if TYPE_CHECKING:
    from farm.client.link import Link


class Sink(Protocol):
    """Where the results go: of the link's thread, and of who sends, what could not be sent."""

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
        self._over = self._told = False
        self._cut: FarmError | None = None  # why it takes no more arguments
        self._came = RangeSet()  # calls that have a result
        self._places = Places()

    def send(self, take: Take, *, at_once: bool = False) -> int | None:
        """Send all arguments, as fast as they are taken.

        One that cannot be sent has failed alone, as in `multiprocessing.Pool`.

        Args:
            take: gives the arguments, one for each call.
            at_once: the next argument may be long in coming (see `Sending.send`).

        Returns:
            How many there were; None if it was over before all were sent, and there may be more.

        Raises:
            FarmError: nothing can be sent.
            Exception: what ``take`` raised. The batch is given up then.
        """
        blocks = Blocks(self._link.largest - SPARE_BYTES, list, "argument {}".format)
        sending = Sending(self._link, self._changed, self._feed, self._takes_no_more)
        try:
            sending.send(self._sendable(blocks.of(take)), at_once=at_once)
        except BaseException as error:
            try:
                self._sink.fail(error)  # before its end, which says less
            finally:
                self.cancel()
            raise
        return self._feed.total + len(self._places) if self._feed.is_complete else None

    def _takes_no_more(self) -> bool:
        return self._over or self._cut is not None

    def _sendable(self, blocks: Iterable[Packed | Unsendable]) -> Iterator[Packed]:
        sent = 0
        for block in blocks:
            if isinstance(block, Packed):
                yield block
                sent += block.count
                continue
            self._sink.put_error(self._places.leave_out(sent), block.error)
            with self._changed:
                self._changed.notify_all()

    def cancel(self) -> None:
        """Give up what has no result."""
        self.give_up()
        self._link.drain()

    def give_up(self) -> None:
        """As `cancel`, without waiting until it is on its way; may be interrupted, and repeated."""
        with self._changed:
            self._feed.give_up()
            is_unknown = self._feed.is_unknown
            self._changed.notify_all()
        if is_unknown:
            self.end(self._feed.reason(None))

    # -- as a `Taker` -------------------------------------------------------------------------

    def put(self, start: int, values: list[Any]) -> None:
        """Results from the index ``start`` on."""
        stop = start + len(values)
        for new in self._new(start, stop):
            for first, last, place in self._places.of(*new):
                self._sink.put(place, values[first - start : last - start])
        self._came.add(start, stop)  # what could not be put has not come, so that the end says so

    def put_error(self, index: int, error: BaseException) -> None:
        """A call has failed."""
        for first, stop in self._new(index, index + 1):
            for _, _, place in self._places.of(first, stop):
                self._sink.put_error(place, error)
        self._came.add(index, index + 1)

    def _new(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What of it had no result: a task that somebody retries ends twice, and counts once."""
        new = [(start, stop)]
        return list(RangeSet(new) - self._came) if self._came.intersection(start, stop) else new

    def page_over(self) -> None:
        """Wake whoever waits for results, or for room."""
        with self._changed:
            self._changed.notify_all()

    def cut(self, start: int, error: FarmError) -> None:
        """The arguments from some place on were not taken: its end says why."""
        del start
        with self._changed:
            self._cut = self._cut or error
            self._changed.notify_all()

    def end(self, error: FarmError | None) -> None:
        """Nothing further comes. Each step may be done again: it may be interrupted anywhere."""
        with self._changed:
            self._over = True
            is_whole = self._feed.is_complete and self._came.count >= self._feed.total
        if not (is_whole or self._told):
            self._sink.fail(self._feed.reason(error or self._cut))
        if error is None:
            self._feed.drop()
        if not self._told:
            self._on_end(self)
            self._told = True
        self.page_over()
