"""A batch that is still open, and the blocks of arguments on their way to it.

Several may be on their way at a time, so that the network's delay costs nothing; the server takes
them in order. What comes of the batch is handed over from the moment that it is known.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from farm.batch import spec as specs
from farm.client.follow import Follower, Taker
from farm.errors import FarmError, ProtocolError
from farm.wire import controls, messages

if TYPE_CHECKING:
    from farm.client.link import Link

log = logging.getLogger("farm.client")

MAX_ON_THEIR_WAY = 16
"""Messages that are not acknowledged."""

BYTES_ON_THEIR_WAY = 8 << 20
"""Bytes that are not acknowledged, beyond the one message that there may always be."""


class Feed:
    """An open batch. Everything is called with the lock, but for `drop`.

    Args:
        link: to the server.
        changed: the lock; notified when there is room again.
        spec: what the batch is.
        taker: who wants what comes of it.
        on_room: called with the lock when a message was acknowledged, by the link's thread.
    """

    def __init__(
        self,
        link: Link,
        changed: threading.Condition,
        spec: specs.Spec,
        taker: Taker,
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = link
        self._changed = changed
        self._spec = spec
        self._taker = taker
        self._on_room = on_room
        self._sizes: deque[int] = deque()  # of what is on its way
        self._given_up = False
        self.id: int | None = None
        self.total = 0
        """Tasks that were sent."""
        self.is_closed = False
        """Whether no more blocks can be sent."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._sizes

    @property
    def has_room(self) -> bool:
        """Whether a message may be sent."""
        if self.is_closed or (self.id is None and self._sizes):
            return False  # the id is needed to append to it
        few = len(self._sizes) < MAX_ON_THEIR_WAY and sum(self._sizes) < BYTES_ON_THEIR_WAY
        return few or not self._sizes

    def send(self, payload: bytes, count: int, *, close: bool = False) -> None:
        """Send a block, or nothing more.

        Args:
            payload: the pickled list of its items.
            count: how many; 0 for no block.
            close: whether it is the last.

        Raises:
            FarmError: the session is closed.
        """
        blocks = [messages.Block(self.total, self.total + count, payload)] if count else []
        self.total += count
        self.is_closed = close
        if self.id is not None:
            request: messages.Message = messages.Append(self.id, blocks, close)
        else:
            request = messages.Submit(
                secrets.token_hex(16), self._spec.name, self.total, self._spec.options,
                specs.encode(self._spec), blocks=blocks, open=not close,
            )  # fmt: skip
        self._sizes.append(len(payload))
        # Not drained here: the link's thread, which would have to read meanwhile, needs the lock.
        self._link.ask(request, drain=False).add_done_callback(self._acknowledged)

    def _acknowledged(self, answer: Future[messages.Message]) -> None:
        """A message has arrived; called by the link's thread, in the order of the messages."""
        try:
            said = answer.result()
            with self._changed:
                self._sizes.popleft()
                is_known = self.id is not None
                if not is_known:
                    if not isinstance(said, messages.Submitted):
                        raise ProtocolError(f"the server answered Submit with {said}")
                    self.id = said.batch
                    Follower(self._link, self.id, self._taker).start()
                    if self._given_up:
                        self._cancel(self.id)
                self._on_room()
                self._changed.notify_all()
        except FarmError as error:
            self.is_closed = True
            self._taker.end(error)

    def give_up(self) -> None:
        """Cancel the batch, as soon as it is known."""
        self.is_closed = self._given_up = True
        if self.id is not None:
            self._cancel(self.id)

    def _cancel(self, batch: int) -> None:
        self._tell(messages.Cancel(str(batch)))

    def drop(self) -> None:
        """The batch has ended, and nobody needs it any more."""
        if self.id is not None:
            self._tell(controls.Forget(self.id))

    def _tell(self, request: messages.Message) -> None:
        """Say something whose answer nobody waits for."""
        try:
            self._link.ask(request, drain=False)
        except FarmError as error:
            log.debug("%s was not said: %s", type(request).__name__, error)
