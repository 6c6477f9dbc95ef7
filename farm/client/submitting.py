"""A function's batch on its way to the server, block by block, until all of it is journalled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from farm.batch import points
from farm.batch import spec as specs
from farm.client.blocks import Blocks, Packed, Unsendable
from farm.client.changed import Changed
from farm.client.feed import Feed
from farm.client.once import MUST_NOT_WAIT
from farm.client.sending import Sending
from farm.client.submission import SPARE_BYTES, Params, name_of_point
from farm.errors import FarmError, UsageError
from farm.wire import controls

if TYPE_CHECKING:
    from farm.client.link import Link

LEAVE_SECONDS = 2.0
"""For so long a submission that has failed waits for the server to say its batch's id, and again
to forget it."""


class Submitting:
    """One submission of a function.

    Args:
        link: to the server.
        spec: what the batch is.
    """

    def __init__(self, link: Link, spec: specs.Spec) -> None:
        self._link = link
        self._changed = Changed(lambda: link.is_own_thread)
        self._feed = Feed(link, self._changed, spec, None, on_refused=self._refused)
        self._error: FarmError | None = None

    def submit(self, params: Iterable[Mapping[str, Any]]) -> int:
        """Send all params; the id of the batch, which is journalled then.

        Raises:
            UsageError: a point is not a mapping, or cannot be sent.
            FarmError: the server refuses, or a callback of this session submits.
            Exception: what ``params`` raised. Of the batch nothing is left then.
        """
        if self._link.is_own_thread:  # it would be known only once some of it is sent
            raise FarmError(MUST_NOT_WAIT)
        blocks = Blocks(self._link.largest - SPARE_BYTES, points.pack, name_of_point)
        sending = Sending(self._link, self._changed, self._feed, lambda: self._error is not None)
        try:
            sending.send(_whole(blocks.of(Params(params).take)))
            return self._acknowledged()
        except BaseException:
            # What has been sent would wait for the rest.
            self._take_back()
            raise

    def _acknowledged(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._feed.is_idle)
            if self._error is not None:
                raise self._error
            assert self._feed.id is not None
            return self._feed.id

    def _refused(self, error: FarmError) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _take_back(self) -> None:
        """Cancel and forget the batch: nobody else will hear of its id."""
        with self._changed:
            self._feed.give_up()
            self._changed.wait_for(self._is_known_or_not_there, LEAVE_SECONDS)
            batch = self._feed.id
        if batch is not None:
            with suppress(FarmError):  # the first error is the one to show
                self._link.call(controls.Forget(batch), LEAVE_SECONDS)

    def _is_known_or_not_there(self) -> bool:
        return self._feed.id is not None or self._feed.is_idle or self._error is not None


def _whole(blocks: Iterable[Packed | Unsendable]) -> Iterator[Packed]:
    """The blocks, as far as nothing is missing between them."""
    start = 0
    for block in blocks:
        if isinstance(block, Packed):
            start += block.count
            yield block
        elif isinstance(block.error, FarmError):
            raise block.error
        else:
            text = f"{name_of_point(start)} cannot be sent: {block.error}"
            raise UsageError(text) from block.error
