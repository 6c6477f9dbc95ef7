"""A batch that is still open, and the blocks of arguments on their way to it.

Several may be on their way at a time, so that the network's delay costs nothing; the server takes
them in order. What comes of the batch is handed over from the moment that it is known.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from farm.batch import spec as specs
from farm.client.asking import meaning, say
from farm.client.follow import Follower, Taker
from farm.errors import BatchCancelledError, FarmError, ProtocolError, RequestError
from farm.wire import controls, messages

if TYPE_CHECKING:
    from farm.client.link import Link

MAX_ON_THEIR_WAY = 16
"""Messages that are not acknowledged."""

BYTES_ON_THEIR_WAY = 8 << 20
"""Bytes that are not acknowledged, beyond the one message that there may always be."""

_TAKES_NO_MORE = frozenset({"closed", "cancelled"})
"""Refusals by a batch that goes on to its end without what is refused."""


class Feed:
    """An open batch. Everything is called with the lock, but for `drop` and `reason`.

    Args:
        link: to the server.
        changed: the lock; notified when there is room again.
        spec: what the batch is.
        taker: who wants what comes of it, if somebody does; called without the lock.
        on_room: called with the lock when a message was acknowledged, by the link's thread.
        on_refused: called without the lock when nothing more can be sent, if there is no taker.
    """

    def __init__(
        self,
        link: Link,
        changed: threading.Condition,
        spec: specs.Spec,
        taker: Taker | None,
        on_room: Callable[[], None] = lambda: None,
        on_refused: Callable[[FarmError], None] = lambda _: None,
    ) -> None:
        self._link = link
        self._changed = changed
        self._spec = spec
        self._taker = taker
        self._on_room = on_room
        self._on_refused = on_refused if taker is None else taker.end
        self._sent: set[_Sent] = set()  # messages on their way
        self._given_up = False
        self._cancelled = False
        self.id: int | None = None
        self.total = 0
        """Tasks that were sent."""
        self.is_closed = False
        """Whether no more blocks can be sent."""
        self.is_complete = False
        """Whether the last one was."""

    @property
    def is_unknown(self) -> bool:
        """Whether the server has not heard of it, and is not about to."""
        return self.id is None and self.is_idle

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._sent

    @property
    def has_room(self) -> bool:
        """Whether a block may be sent."""
        if self.is_closed or (self.id is None and self._sent):
            return False  # the id is needed to append to it
        size = sum(one.size for one in self._sent)
        few = len(self._sent) < MAX_ON_THEIR_WAY and size < BYTES_ON_THEIR_WAY
        return few or self.is_idle

    @property
    def may_end(self) -> bool:
        """Whether the batch may be closed without a further block.

        Such a message could overtake blocks that have to be sent again, and they would find the
        batch closed: the server knows by nothing in it that they are missing.
        """
        return self.is_idle and not self.is_closed

    def send(self, payload: bytes, count: int, *, close: bool = False) -> None:
        """Send a block, or nothing more.

        Args:
            payload: the pickled list of its items.
            count: how many; 0 for no block.
            close: whether it is the last.

        Raises:
            FarmError: the session is closed.
        """
        sent = _Sent(self, self.total, len(payload))
        blocks = [messages.Block(self.total, self.total + count, payload)] if count else []
        self.total += count
        self.is_closed = self.is_complete = close
        if self.id is not None:
            request: messages.Message = messages.Append(self.id, blocks, close)
        else:
            token = messages.token_of(self._link.session)
            request = messages.Submit(
                token, self._spec.name, self.total, self._spec.options,
                specs.encode(self._spec), blocks=blocks, open=not close,
            )  # fmt: skip
        self._tell_block(request, sent)

    def _tell_block(self, request: messages.Message, sent: _Sent) -> None:
        self._sent.add(sent)  # before it is told: after Ctrl-C it may be on its way
        try:
            # Not drained here: the link's thread, which would have to read meanwhile, needs the
            # lock.
            self._link.tell(request, sent)
        except Exception:
            self._sent.discard(sent)
            self.is_closed, self.is_complete = True, False
            raise

    def arrived(self, sent: _Sent, answer: messages.Message) -> None:
        """A message is acknowledged; without the lock, by the link's thread."""
        try:
            with self._changed:
                self._sent.discard(sent)
                is_first = self.id is None
                if is_first:
                    self._begin(answer)
                self._on_room()
                self._changed.notify_all()
            if is_first and self.id is not None and self._taker is not None:
                Follower(self._link, self.id, self._taker).start()
        except FarmError as error:
            self.refused(error)
        except Exception as error:
            # Out of memory, say, in the middle of it: nobody knows any more what was sent.
            self.refused(FarmError(f"what follows could not be sent: {error!r}"))

    def _begin(self, answer: messages.Message) -> None:
        if not isinstance(answer, messages.Submitted):
            raise ProtocolError(f"the server answered Submit with {answer}")
        self.id = answer.batch
        if self._given_up:
            self._cancel()

    def not_taken(self, start: int, error: FarmError) -> None:
        """A message that begins with the task ``start`` was refused; without the lock."""
        is_cut = isinstance(error, RequestError) and error.code in _TAKES_NO_MORE
        if not is_cut or self._taker is None or self.id is None:
            self.refused(error)
            return
        with self._changed:
            self.is_closed, self.is_complete = True, False
        self._taker.cut(start, _said(error))

    def refused(self, error: FarmError) -> None:
        """A message will not be acknowledged; without the lock.

        What was sent after it cannot be taken either, and the batch would wait for ever.
        """
        try:
            with self._changed:
                self.is_closed = True
                if self.id is not None:
                    self._cancel()
        finally:
            self._on_refused(_said(error))

    def give_up(self) -> None:
        """Cancel the batch, as soon as it is known."""
        self.is_closed = self._given_up = True
        if self.id is not None:
            self._cancel()

    def reason(self, error: FarmError | None) -> FarmError:
        """Why there is no result of what has none, now that the batch has ended with ``error``."""
        if self._given_up:
            return FarmError("the pool was terminated before this had a result")
        return error or BatchCancelledError(
            f"batch {self.id} was cancelled or forgotten, or closed while this client was away, "
            "before this had a result"
        )

    def _cancel(self) -> None:
        if not self._cancelled:
            say(self._link, messages.Cancel(str(self.id)))
            self._cancelled = True  # after it: to say it twice does no harm, but never does

    def drop(self) -> None:
        """The batch has ended, and nobody needs it any more."""
        if self.id is not None:
            say(self._link, controls.Forget(self.id))


def _said(error: FarmError) -> FarmError:
    return meaning(error) if isinstance(error, RequestError) else error


class _Sent:
    """One message on its way, as a `farm.client.link.Answer`."""

    def __init__(self, feed: Feed, start: int, size: int) -> None:
        self._feed = feed
        self._start = start
        self.size = size

    def set_result(self, body: messages.Message) -> None:
        """It has arrived."""
        self._feed.arrived(self, body)

    def set_exception(self, error: FarmError) -> None:
        """It was refused, or the link is given up."""
        self._feed.not_taken(self._start, error)
