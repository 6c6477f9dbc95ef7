"""One connection as the server sees it: tunnel, handshake, then one of two dialects.

Before the peer is known nothing is sent but the challenge or a fixed sentence, frames are tiny, and
one deadline covers the handshake and the first request together.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from farm.errors import ProtocolError
from farm.server.budget import Allowance
from farm.server.dialect import Dialect
from farm.server.door import Pass
from farm.server.intake import SCRATCH, Intake
from farm.server.networks import network_of
from farm.server.outflow import Outflow
from farm.server.registry import Registry
from farm.wire import handshake
from farm.wire.channel import VANISHED_SECONDS, be_patient, tune
from farm.wire.frames import Frame, Oversized, header
from farm.wire.tunnel import TunnelError

log = logging.getLogger("farm.server")

PLAIN_FRAME = 8 * 1024 * 1024
"""Bytes of a plain client's request: its pickle is read by Python code, in the server's loop."""

MAX_HELLO = 32 * 1024
"""Bytes of a TLS handshake: a client of a farm has some 1,300 to say in it."""

HINT_SECONDS = 1.0
"""A peer that is silent for so long where TLS is spoken waits for the server to begin."""

_CLIENT_HELLO = b"\x16\x03"
"""How a peer begins that speaks TLS (RFC 8446, section 5.1)."""


class Connection(asyncio.BufferedProtocol):
    """Frames in, frames out.

    Args:
        registry: is told when it comes and goes.
        dialect: makes the first dialect, once the peer is known.
    """

    def __init__(self, registry: Registry, dialect: Callable[[Connection], Dialect]) -> None:
        self._registry = registry
        self._limits = registry.limits
        self._tunnel = registry.door.tunnel()
        self._handshake = registry.door.handshake()
        self._make_dialect = dialect
        self._dialect: Dialect | None = None
        self._plain = True
        self._looked_at = True  # what comes is more than frames of farm's own protocol
        self._challenged = False
        self._allowance: Allowance | None = None
        self._intake = Intake(self, registry.budget, handshake.MAX_FRAME)
        self._transport: asyncio.Transport | None = None
        self._out: Outflow | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._hint: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        self.address = "?"
        self.network = "?"
        """What the peer is counted under: see `farm.server.networks`."""
        self.holder: Pass | None = None
        """What the peer came in with, once it has."""
        self.received = 0
        """Bytes that have come."""

    @property
    def role(self) -> str:
        """What the peer may do."""
        return self.holder.role if self.holder else ""

    @property
    def who(self) -> str:
        """The name of what it came in with: all who did so with the same are one to the server."""
        return self.holder.holder if self.holder else ""

    # -- asyncio.BufferedProtocol -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Challenge the peer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if peer:
            self.network, self.address = network_of(peer[0]), f"{peer[0]}:{peer[1]}"
        reason = self._registry.came(self)
        if reason is not None:
            self._turn_away("busy", reason)
            return
        self._socket = transport.get_extra_info("socket")
        if self._socket is not None:
            tune(self._socket)
            self._acknowledge()
        self._out = Outflow(transport, self._tunnel, self._limits.send_timeout, self._stuck)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._limits.handshake_timeout, self._too_late)
        if self._tunnel is None:
            self._challenge()
        else:
            self._hint = loop.call_later(HINT_SECONDS, self._speaks_plainly)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the network is to put what comes."""
        del sizehint
        return SCRATCH if self._looked_at else self._intake.reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Cut what came into frames."""
        if self._looked_at:
            self.data_received(bytes(SCRATCH[:nbytes]))
            return
        self.received += nbytes
        self._intake.reader.filled(nbytes)
        self._serve_what_came()

    def data_received(self, data: bytes) -> None:
        """The same of what comes in a tunnel, from a stranger or a plain client."""
        if not self.received and self._tunnel is None and data.startswith(_CLIENT_HELLO):
            self.cut_off("it speaks TLS, and this server does not")
            return
        self.received += len(data)
        if self.received > MAX_HELLO and not (self._tunnel is None or self._tunnel.established):
            self.cut_off(f"more than {MAX_HELLO} bytes before its tunnel is there")
            return
        if self._plain:
            self._acknowledge()
        self._intake.reader.feed(data if self._tunnel is None else self._unwrapped(data))
        self._serve_what_came()

    def _serve_what_came(self) -> None:
        dialect = self._dialect
        if dialect is None:
            self.resume()
            return
        dialect.hear()
        try:
            self.resume()
        finally:
            dialect.heard()

    def _unwrapped(self, data: bytes) -> bytes:
        """What the peer said in the tunnel."""
        assert self._tunnel is not None
        assert self._out is not None
        try:
            said, answer = self._tunnel.receive(data)
        except TunnelError as error:
            self._registry.complain(self, f"refused: {error}")
            self._out.write(error.farewell)
            self.close()
            return b""
        if answer:
            self._out.write(answer)
        if self._tunnel.established and not self._challenged:
            self._welcome()
        return said

    def _welcome(self) -> None:
        """The tunnel is there: challenge the peer, unless its certificate is of no use here."""
        assert self._tunnel is not None
        try:
            self._registry.door.check(self._tunnel)
        except ProtocolError as error:
            self._registry.complain(self, f"refused: {error}")
            self.send(handshake.refusal("certificate", str(error)))
            self.close()
        else:
            self._challenge()

    def _challenge(self) -> None:
        self._challenged = True
        self.send(self._handshake.begin())

    def eof_received(self) -> bool:
        """The peer has closed; so does the server."""
        return False

    def pause_writing(self) -> None:
        """The peer does not read: stop reading its requests, and give it a while."""
        if self._out is None or self.closing:
            return
        self._intake.full = True
        self._out.watch()
        self._wait_for_peer(3 * self._limits.send_timeout)
        self._intake.read_on()
        self._registry.filled(self)

    def resume_writing(self) -> None:
        """The peer reads again."""
        if self._out is not None:
            self._out.relax()
        self._intake.full = False
        self._wait_for_peer(VANISHED_SECONDS)
        self._registry.emptied(self)
        if self._dialect is not None:
            self._dialect.relieved()
        self._intake.go_on()

    def _wait_for_peer(self, seconds: float) -> None:
        """The system must not give it up before the server does: nobody would be told why."""
        if self._socket is not None:
            be_patient(self._socket, max(seconds, VANISHED_SECONDS))

    def _stuck(self) -> None:
        self.cut_off("it does not read (--send-timeout)")

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever the reason, it is gone."""
        for timer in (self._deadline, self._hint):
            if timer is not None:
                timer.cancel()
        if self._out is not None:
            self._out.end()
        self._registry.went(self)
        if self._dialect is not None:
            self._dialect.lost()
        if isinstance(exc, TimeoutError):
            self._registry.complain(self, "lost: it has vanished, or does not read")
        elif exc is not None:
            log.debug("%s: connection lost: %s", self.address, exc)

    # -- frames -------------------------------------------------------------------------------

    def resume(self) -> None:
        """Take the frames that have come, for as long as nothing holds them back."""
        try:
            self._intake.take_some()
        except handshake.KeyRefusedError as error:
            self._registry.complain(self, f"refused: {error}")
            self.send(handshake.FAILURE)
            self.close()
        except ProtocolError as error:
            self.cut_off(str(error))

    def serve(self, part: Frame | Oversized, now: float) -> None:
        """Serve a frame, or refuse it."""
        if self._dialect is None:
            assert isinstance(part, bytes)  # strangers' frames are not skipped
            self._shake_hands(part)
        elif isinstance(part, Oversized):
            text = f"a message of {part.size:,} bytes; the limit is {self._intake.reader.limit:,}"
            if self._intake.reader.limit == self._limits.max_frame:
                text += " (--max-frame)"
            self._registry.complain(self, f"refused: {text}")
            self._dialect.refuse(part.head, "too-large", text)
        elif self._allowance is not None and not self._allowance.take(now):
            rate = self._limits.max_requests
            text = f"more than {rate:,} requests a second on one connection (--max-requests)"
            self._registry.complain(self, f"refused: {text}")
            self._dialect.refuse(bytes(part[:16]), "busy", text)
        else:
            self._dialect.receive(part)

    def _shake_hands(self, frame: bytes) -> None:
        for answer in self._handshake.receive(frame):
            self.send(answer)
        if not self._handshake.complete:
            return
        self.holder = self._registry.door.admit(self._handshake, self._tunnel)
        self._registry.met(self)
        now = asyncio.get_running_loop().time()
        self._allowance = Allowance(self._limits.max_requests, now)
        self._intake.reader.limit = min(PLAIN_FRAME, self._limits.max_frame)
        self._intake.reader.skip = True
        self._dialect = self._make_dialect(self)

    def admitted(self) -> None:
        """There is room for the long message that is on its way."""
        self._intake.admitted()

    def read_network(self, wanted: bool) -> None:
        """Read what comes, or leave it to the network to keep it."""
        if self._transport is not None and wanted:
            self._transport.resume_reading()
        elif self._transport is not None:
            self._transport.pause_reading()

    def hold(self) -> None:
        """Keep further frames back until `release`: there is enough to be answered first."""
        self._intake.hold()

    def release(self) -> None:
        """Go on with the frames that were held back."""
        self._intake.release()

    def settle(self, dialect: Dialect | None = None) -> None:
        """The first request is over: the deadline ends; maybe another dialect follows."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if dialect is not None:
            self._dialect = dialect
            self._plain, self._looked_at = False, self._tunnel is not None
            self._intake.reader.limit = self._limits.max_frame

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

    @property
    def full(self) -> bool:
        """Whether the peer has much to read before it is to be sent more."""
        return self._intake.full

    @property
    def unsent(self) -> int:
        """Bytes of answers that the network has not taken yet."""
        return self._out.unsent if self._out is not None else 0

    @property
    def kept(self) -> int:
        """Bytes in memory because of it, but for a long message that has room of its own."""
        return self.unsent + self._intake.kept

    def send(self, *pieces: bytes) -> None:
        """Send one frame; nothing happens if the connection is gone."""
        if self._out is None:
            return
        self._out.send(*pieces)
        if self._intake.full:  # and more comes: of requests that were taken before, or waited
            self._registry.filled(self)

    def send_late(self, frame: bytes) -> None:
        """Send a frame together with the next one, or in a moment."""
        if self._out is not None:
            self._out.send_late(frame)

    def close(self) -> None:
        """Close after what was sent."""
        if self._transport is not None:
            self._transport.close()

    def complain(self, what: str) -> None:
        """Log what is wrong with the peer, within the bounds of the log."""
        self._registry.complain(self, what)

    def _too_late(self) -> None:
        seconds = self._limits.handshake_timeout
        self.cut_off(f"no first request within {seconds:g} s (--handshake-timeout)")

    def _speaks_plainly(self) -> None:
        """It waits for a challenge: whoever speaks TLS begins."""
        if not self.received:
            self._turn_away("tls", "it speaks TLS: connect with --tls DIR (FARM_TLS)")

    def _turn_away(self, code: str, text: str) -> None:
        """Say why to a peer that is not known, in a fixed sentence, and close."""
        self._registry.complain(self, f"turned away: {text}")
        if self._transport is not None:
            frame = handshake.refusal(code, text)
            self._transport.write(header(len(frame)) + frame)
            self._transport.close()

    def cut_off(self, why: str) -> None:
        """Close at once, and log why."""
        self._registry.complain(self, f"cut off: {why}")
        if self._transport is not None:
            self._transport.abort()
