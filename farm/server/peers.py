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
from farm.server.damage import is_damage
from farm.server.turns import Turns
from farm.server.waiting import Waiter
from farm.wire import codec
from farm.wire.frames import Frame
from farm.wire.messages import Message, Refused

log = logging.getLogger("farm.server")

MAX_UNMADE = 32
"""Answers of one connection that may wait to be made, before its further requests do."""

MAX_UNREAD = 10
"""Requests of one connection that cannot be read, before it is closed."""

Handler = Callable[["Peer", int, Any], None]


class Peer:
    """One connection that speaks farm's protocol: a `farm.server.connection.Dialect`.

    Args:
        connection: carries the frames.
        handlers: what serves each type of request.
        turns: of the server.
        gone: called when the connection is lost.
        role: what it may ask (see `farm.server.permits`).
        who: what it came in with: who share that share their turns when long answers are made.
    """

    def __init__(
        self,
        connection: Connection,
        handlers: Mapping[type[Message], Handler],
        turns: Turns,
        gone: Callable[[Peer], None],
        role: str = "admin",
        who: str = "",
    ) -> None:
        self.role = role
        self.session = ""
        self.is_lost = False
        self._unread = 0
        self._connection = connection
        self._handlers = handlers
        self._turns = turns
        self._gone = gone
        self.who = who
        self.node = 0
        self._muted = False
        self.waiters: set[Waiter | None] = set()
        self._unmade: deque[tuple[int, Callable[[], Message]]] = deque()
        self._making = False
        self._holding = False  # further requests back

    @property
    def address(self) -> str:
        """The peer's, for people."""
        return self._connection.address

    def receive(self, frame: Frame) -> None:
        """Serve one request; an error becomes its answer."""
        if self._muted:
            return
        try:
            number, request = codec.decode_request(frame)
        except ProtocolError as error:
            self._misunderstood(frame, error)
            return
        try:
            self._serve(number, request)
        except Exception as error:
            self._failed(number, type(request).__name__, error)

    def _misunderstood(self, frame: Frame, error: ProtocolError) -> None:
        """Say so to who asked: a request that is sent again and again would not be read either."""
        self._unread += 1
        number = codec.number_of(bytes(frame[:16]))
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
        self._handlers[type(request)](self, number, request)

    def answer(self, number: int, make: Callable[[], Message]) -> None:
        """Answer a request with what ``make`` gives; an error of it becomes the answer.

        It is made when the peer's turn comes and there is room for it: however much was asked for
        at once, so much of it is in memory and no more, and the others need not wait for all of it.
        """
        if self._connection.closing:
            return  # what nobody hears need not be read from the journal
        self._unmade.append((number, make))
        if len(self._unmade) >= MAX_UNMADE and not self._holding:
            self._holding = True
            self._connection.hold()
        self._go_on()

    def relieved(self) -> None:
        """The peer has read: make answers that have waited for that."""
        self._go_on()

    def _go_on(self) -> None:
        if self._unmade and not self._making and not self._connection.full:
            self._making = True
            self._turns.read(self.who, self._make_one)

    def _make_one(self) -> bool:
        """Make the answer that has waited for longest; whether another can be made."""
        if self._connection.closing:
            self._unmade.clear()
        if self._unmade and not self._connection.full:
            number, make = self._unmade.popleft()
            try:
                self.reply(number, make())
            except Exception as error:
                self._failed(number, "an answer", error)
        if self._holding and len(self._unmade) <= MAX_UNMADE // 2:
            self._holding = False
            # In a turn of its own: until the next commit, answers are to tell of nothing new.
            self._turns.loop.call_soon(self._connection.release)
        self._making = bool(self._unmade) and not self._connection.full
        return self._making

    def _failed(self, number: int, what: str, error: Exception) -> None:
        """An error becomes the answer. A bug in one handler must not take down the connections of
        all the others; what happened goes to the log, and not to the peer."""
        if isinstance(error, RequestError):
            self.reply(number, Refused(error.code, str(error)))
        elif isinstance(error, sqlite3.Error):
            if is_damage(error) or isinstance(error, sqlite3.OperationalError):  # the disk's fault
                self._connection.complain(f"the journal cannot be read: {error}")
            else:
                log.error("%s: the journal cannot be read", self.address, exc_info=error)
            self.reply(number, Refused("journal", f"the journal cannot be read: {error}"))
        else:
            log.error("%s: %s could not be served", self.address, what, exc_info=error)
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

    def hear(self) -> None:
        """Something has come."""
        self._turns.hear()

    def heard(self) -> None:
        """All that has come by now is served."""
        self._turns.heard()

    def lost(self) -> None:
        """Forget what the peer waited for."""
        self.is_lost = True
        for waiter in self.waiters:
            if waiter is not None:
                self._turns.waiters.forget(waiter)
        self.waiters.clear()
        self._unmade.clear()
        self._gone(self)

    def reply(self, number: int, body: Message) -> None:
        """Answer a request; those with id 0 want no answer."""
        if number:
            self._connection.send(*codec.encode_pieces(number, body))

    def acknowledge(self, number: int, body: Message) -> None:
        """As `reply`, where nobody waits for that alone: it goes with what is said next."""
        if number:
            self._connection.send_late(codec.encode(number, body))

    def push(self, body: Message) -> None:
        """Say something unasked."""
        self._connection.send(codec.encode(0, body))

    def close(self) -> None:
        """Close the connection after what was sent."""
        self._connection.close()
