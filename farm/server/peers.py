"""A peer that speaks farm's own protocol: its requests go to who serves them."""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from farm.errors import ProtocolError, RequestError
from farm.server import permits
from farm.server.connection import Connection
from farm.server.waiting import Waiter
from farm.wire import codec
from farm.wire.messages import Message, Refused

log = logging.getLogger("farm.server")

MAX_WAITERS = 1000
"""Requests of one connection that may be held back at a time."""

MAX_UNREAD = 10
"""Requests of one connection that cannot be read, before it is closed."""

Handler = Callable[["Peer", int, Any], None]


class Peer:
    """One connection that speaks farm's protocol: a `farm.server.connection.Dialect`.

    Args:
        connection: carries the frames.
        handlers: what serves each type of request.
        gone: called when the connection is lost.
        forget: called with each waiter that nobody waits behind any more.
        role: what it may ask (see `farm.server.permits`).
    """

    def __init__(
        self,
        connection: Connection,
        handlers: Mapping[type[Message], Handler],
        gone: Callable[[Peer], None],
        forget: Callable[[Waiter], None],
        role: str = "admin",
    ) -> None:
        self.role = role
        self.session = ""
        self._unread = 0
        self._connection = connection
        self._handlers = handlers
        self._gone = gone
        self._forget = forget
        self.node = 0
        self._muted = False
        self.waiters: set[Waiter | None] = set()
        self._unmade: deque[tuple[int, Callable[[], Message]]] = deque()

    @property
    def address(self) -> str:
        """The peer's, for people."""
        return self._connection.address

    def receive(self, frame: bytes) -> None:
        """Serve one request; an error becomes its answer."""
        if self._muted:
            return
        try:
            number, request = codec.decode_request(frame)
        except ProtocolError as error:
            self._misunderstood(frame, error)
            return
        self._guarded(number, type(request).__name__, lambda: self._serve(number, request))

    def _misunderstood(self, frame: bytes, error: ProtocolError) -> None:
        """Say so to who asked: a request that is sent again and again would not be read either."""
        self._unread += 1
        number = codec.number_of(frame[:16])
        if not number or self._unread >= MAX_UNREAD:
            raise error
        self._connection.complain(f"refused: {error}")
        self.reply(number, Refused("bad-request", str(error)))

    def refuse(self, head: bytes, code: str, text: str) -> None:
        """A frame is not served; ``head`` is how it begins.

        Who wants no answer would never learn of it: on its next connection it says all anew.
        """
        if number := codec.number_of(head):
            self.reply(number, Refused(code, text))
        else:
            self.close()

    def _serve(self, number: int, request: Message) -> None:
        permits.check(self.role, type(request).__name__)
        if len(self.waiters) >= MAX_WAITERS:
            raise RequestError("busy", f"{MAX_WAITERS} requests of this connection wait")
        self._handlers[type(request)](self, number, request)

    def answer(self, number: int, make: Callable[[], Message]) -> None:
        """Answer a request with what ``make`` gives; an error of it becomes the answer."""
        if self._connection.closing:
            return  # what nobody hears need not be read from the journal
        if self._connection.full:
            # However much was asked for at once, so much of it is in memory and no more; and the
            # others need not wait until all of it is made.
            self._unmade.append((number, make))
            return
        self._guarded(number, "an answer", lambda: self.reply(number, make()))

    def relieved(self) -> None:
        """The peer has read: make answers that have waited for that."""
        while self._unmade and not self._connection.full:
            self.answer(*self._unmade.popleft())

    def _guarded(self, number: int, what: str, step: Callable[[], None]) -> None:
        try:
            step()
        except RequestError as error:
            self.reply(number, Refused(error.code, str(error)))
        except sqlite3.Error as error:
            log.exception("%s: the journal cannot be read", self.address)
            self.reply(number, Refused("journal", f"the journal cannot be read: {error}"))
        except Exception:
            # A bug in one handler must not take down the connections of all the others; what
            # happened goes to the log, and not to the peer.
            log.exception("%s: %s could not be served", self.address, what)
            text = "the server could not serve this request; its log says why"
            self.reply(number, Refused("internal", text))

    def mute(self) -> None:
        """Serve nothing more of what it sends: it has another connection by now."""
        self._muted = True

    def dismiss(self, number: int, code: str, text: str) -> None:
        """Refuse a request, which may want no answer, and close: whoever waits is to notice."""
        self.mute()
        self._connection.complain(f"cut off: {text}")
        self.reply(number, Refused(code, text))
        self.close()

    def lost(self) -> None:
        """Forget what the peer waited for."""
        for waiter in self.waiters:
            if waiter is not None:
                self._forget(waiter)
        self.waiters.clear()
        self._unmade.clear()
        self._gone(self)

    def reply(self, number: int, body: Message) -> None:
        """Answer a request; those with id 0 want no answer."""
        if number:
            self._connection.send(codec.encode(number, body))

    def push(self, body: Message) -> None:
        """Say something unasked."""
        self._connection.send(codec.encode(0, body))

    def close(self) -> None:
        """Close the connection after what was sent."""
        self._connection.close()
