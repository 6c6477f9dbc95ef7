"""One connection as the server sees it: frames, the handshake, then one of two dialects.

Before the peer is known nothing is sent but the challenge, frames are tiny, and one deadline
covers the handshake and the first request together.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Protocol

from farm.errors import ProtocolError
from farm.wire import handshake
from farm.wire.channel import tune
from farm.wire.frames import MAX_FRAME, FrameReader, header

log = logging.getLogger("farm.server")

HANDSHAKE_SECONDS = 5.0
SEND_SECONDS = 60.0
"""A peer that takes nothing of what it asked for for so long is cut off."""

PLAIN_FRAME = 8 * 1024 * 1024
"""Bytes of a plain client's request: its pickle is read by Python code, in the server's loop."""

WRITE_HIGH = 4 * 1024 * 1024
"""Bytes of unread answers at which the server stops reading a peer's requests."""


class Dialect(Protocol):
    """What is spoken on a connection once the peer is known."""

    def receive(self, frame: bytes) -> None:
        """A frame has come.

        Raises:
            ProtocolError: the connection is to be closed.
        """

    def lost(self) -> None:
        """The connection is gone."""


class Registry(Protocol):
    """All connections of a server: `Connection` tells it of its coming and going."""

    def came(self, connection: Connection) -> bool:
        """Whether there is room for one more."""

    def met(self, connection: Connection) -> None:
        """The peer holds the key."""

    def went(self, connection: Connection) -> None:
        """It is closed."""


class Connection(asyncio.Protocol):
    """Frames in, frames out.

    Args:
        registry: is told when it comes and goes.
        authkey: that the peer must hold.
        dialect: makes the first dialect, once the peer is known.
    """

    def __init__(
        self, registry: Registry, authkey: bytes, dialect: Callable[[Connection], Dialect]
    ) -> None:
        self._registry = registry
        self._handshake = handshake.ServerHandshake(authkey)
        self._make_dialect = dialect
        self._dialect: Dialect | None = None
        self._plain = True
        self._held = False  # by the dialect, which answers one request at a time
        self._full = False  # of answers that the peer has not read
        self._written = 0
        self._reader = FrameReader(handshake.MAX_FRAME)
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        self.address = "?"

    # -- asyncio.Protocol ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Challenge the peer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = f"{peer[0]}:{peer[1]}" if peer else "?"
        if not self._registry.came(self):
            log.warning("%s: too many connections; it was turned away", self.address)
            transport.abort()
            return
        self._socket = transport.get_extra_info("socket")
        if self._socket is not None:
            tune(self._socket)
            self._acknowledge()
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._deadline = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, self._too_late)
        self.send(self._handshake.begin())

    def data_received(self, data: bytes) -> None:
        """Cut what came into frames."""
        if self._plain:
            self._acknowledge()
        self._reader.feed(data)
        self.resume()

    def eof_received(self) -> bool:
        """The peer has closed; so does the server."""
        return False

    def pause_writing(self) -> None:
        """The peer does not read: stop reading its requests, and give it a while."""
        self._full = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._watch(self._taken)

    def _watch(self, taken: int) -> None:
        loop = asyncio.get_running_loop()
        self._stuck = loop.call_later(SEND_SECONDS, self._look, taken)

    def _look(self, taken: int) -> None:
        """A slow peer is waited for as long as it takes something."""
        if self._taken == taken:
            self.cut_off("it does not read")
        else:
            self._watch(self._taken)

    @property
    def _taken(self) -> int:
        """Bytes that the network has taken so far."""
        assert self._transport is not None
        return self._written - self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """The peer reads again."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        self._full = False
        self._go_on()

    def _go_on(self) -> None:
        if self._transport is not None and not self.closing:
            self._transport.resume_reading()
            self.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever the reason, it is gone."""
        for timer in (self._deadline, self._stuck):
            if timer is not None:
                timer.cancel()
        self._registry.went(self)
        if self._dialect is not None:
            self._dialect.lost()
        if exc is not None:
            log.debug("%s: connection lost: %s", self.address, exc)

    # -- frames -------------------------------------------------------------------------------

    def resume(self) -> None:
        """Take the frames that have come, for as long as nothing holds them back."""
        if self._held or self._full:
            if self._reader.buffered > self._reader.limit and self._transport is not None:
                self._transport.pause_reading()
            return
        try:
            for frame in self._reader.frames():
                self._receive(frame)
                if self.closing or self._held or self._full:
                    return
        except handshake.KeyRefusedError as error:
            log.warning("%s: refused: %s", self.address, error)
            self.send(handshake.FAILURE)
            self.close()
        except ProtocolError as error:
            self.cut_off(str(error))

    def _receive(self, frame: bytes) -> None:
        if self._dialect is not None:
            self._dialect.receive(frame)
            return
        for answer in self._handshake.receive(frame):
            self.send(answer)
        if self._handshake.complete:
            self._registry.met(self)
            self._reader.limit = PLAIN_FRAME
            self._dialect = self._make_dialect(self)

    def hold(self) -> None:
        """Keep further frames back until `release`: the dialect answers one at a time.

        Reading goes on, because it is by reading that the end of a connection is noticed.
        """
        self._held = True

    def release(self) -> None:
        """Go on with the frames that were held back."""
        self._held = False
        self._go_on()

    def settle(self, dialect: Dialect | None = None) -> None:
        """The first request is over: the deadline ends; maybe another dialect follows."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if dialect is not None:
            self._dialect = dialect
            self._plain = False
            self._reader.limit = MAX_FRAME

    def _acknowledge(self) -> None:
        """Acknowledge at once: an unmodified client waits for that between two small writes.

        The kernel forgets the wish after a while, so that it is repeated with each receipt.
        """
        if self._socket is not None and hasattr(socket, "TCP_QUICKACK"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    # -- towards the peer ---------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    def send(self, frame: bytes) -> None:
        """Send one frame; nothing happens if the connection is gone."""
        if self._transport is None or self._transport.is_closing():
            return
        head = header(len(frame))
        self._written += len(head) + len(frame)
        if len(frame) < WRITE_HIGH:
            self._transport.write(head + frame)
        else:
            self._transport.write(head)
            self._transport.write(frame)

    def close(self) -> None:
        """Close after what was sent."""
        if self._transport is not None:
            self._transport.close()

    def _too_late(self) -> None:
        self.cut_off(f"no first request within {HANDSHAKE_SECONDS:.0f} s")

    def cut_off(self, why: str) -> None:
        """Close at once, and log why."""
        log.warning("%s: cut off: %s", self.address, why)
        if self._transport is not None:
            self._transport.abort()
