"""Connections of a server whose network is moved by hand, and the peers at their other ends."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from pathlib import Path
from typing import Any

from farm_harness import KEY
from farm_service import Clock

from farm.limits import MIB, Limits
from farm.server.admission import Admission
from farm.server.connection import Connection
from farm.server.door import KeyDoor, TlsDoor
from farm.wire import handshake
from farm.wire.frames import FrameReader, header
from farm.wire.keyring import Keyring
from farm.wire.tunnel import Tunnel


class Network(asyncio.Transport):
    """Keeps what is sent; takes it away when told to.

    Args:
        host: the peer's address.
        takes: whether it takes at once what is sent.
    """

    def __init__(self, host: str = "192.0.2.1", *, takes: bool = True) -> None:
        super().__init__()
        self.protocol: Any = None
        self.takes = takes
        self.sent = bytearray()
        self.writes: list[int] = []
        self.waiting = 0
        self.high = 1 << 62
        self.reads, self.full = True, False
        self.end = ""  # "closed", "aborted"
        self.socket: Any = None
        self._host = host

    def connect(self, protocol: Any) -> None:
        """A peer connects."""
        self.protocol = protocol
        protocol.connection_made(self)

    def bring(self, data: bytes) -> None:
        """Something comes from the peer, as asyncio hands it over."""
        while data:
            data = data[self._bring_some(data) :]

    def _bring_some(self, data: bytes) -> int:
        place = self.protocol.get_buffer(-1)
        count = min(len(place), len(data))
        place[:count] = data[:count]
        self.protocol.buffer_updated(count)
        return count

    def take(self, size: int) -> None:
        """The network takes so many bytes of what waits."""
        self.waiting -= min(size, self.waiting)
        if self.full and self.waiting <= self.high // 4:
            self.full = False
            self.protocol.resume_writing()

    def frames(self) -> list[bytes]:
        """The frames that were sent since the last look."""
        reader = FrameReader(1 << 30)
        reader.feed(self.sent)
        self.sent.clear()
        return list(reader.frames())

    # -- asyncio.Transport ------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": (self._host, 4711), "socket": self.socket}.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, _low: int | None = None) -> None:
        self.high = high or self.high

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.end == "aborted":
            return
        self.sent += data
        self.writes.append(len(data))
        self.waiting += 0 if self.takes else len(data)
        if self.waiting > self.high and not self.full:
            self.full = True
            self.protocol.pause_writing()

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return bool(self.end)

    def close(self) -> None:
        self.end = self.end or "closed"

    def abort(self) -> None:
        self.end, self.waiting = "aborted", 0


def framed(*frames: bytes) -> bytes:
    """Frames as they travel."""
    return b"".join(header(len(frame)) + frame for frame in frames)


class Peer:
    """Whoever is at the other end of a `Network`.

    Args:
        network: to the server.
        key: what it holds.
        tunnel: its end of one.
    """

    def __init__(self, network: Network, key: bytes, tunnel: Tunnel | None = None) -> None:
        self._network = network
        self._key = key
        self.tunnel = tunnel

    def hear(self) -> list[bytes]:
        """The frames that the server has sent."""
        if self.tunnel is None:
            return self._network.frames()
        said, answer = self.tunnel.receive(bytes(self._network.sent))
        self._network.sent.clear()
        if answer:
            self._network.bring(answer)
            return self.hear()
        reader = FrameReader()
        reader.feed(said)
        return list(reader.frames())

    def say(self, *frames: bytes) -> None:
        """Send frames."""
        data = framed(*frames)
        self._network.bring(self.tunnel.send(data) if self.tunnel else data)

    def answers(self) -> list[bytes]:
        """The next frame of the handshake, as the standard library sends it."""
        [challenge] = self.hear()
        message = challenge.removeprefix(handshake.CHALLENGE)
        return [b"{sha256}" + hmac.new(self._key, message, hashlib.sha256).digest()]

    def shake_hands(self) -> None:
        """Come in."""
        if self.tunnel is not None:
            self._network.bring(self.tunnel.begin())
        self.say(*self.answers())
        assert self.hear() == [handshake.WELCOME]
        self.say(handshake.CHALLENGE + b"{sha256}" + b"c" * 40)
        assert len(self.hear()) == 1
        self.say(handshake.WELCOME)


class Dialect:
    """Keeps what it is given."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.received: list[bytes] = []
        self.refused: list[tuple[bytes, str]] = []
        self.gone = False
        self.reliefs = 0
        self.rests = 0

    def receive(self, frame: bytes) -> None:
        self.received.append(bytes(frame))  # large ones are lent
        if frame == b"farm":
            self.connection.settle(self)

    def refuse(self, head: bytes, code: str, _text: str) -> None:
        self.refused.append((head, code))

    def hear(self) -> None:
        self.rests -= 1

    def heard(self) -> None:
        self.rests += 1

    def relieved(self) -> None:
        self.reliefs += 1

    def lost(self) -> None:
        self.gone = True


class Server:
    """All but the listening socket."""

    def __init__(self, clock: Clock, tls: Path | None = None, **limits: Any) -> None:
        door = TlsDoor(tls) if tls else KeyDoor(Keyring.of(KEY), clock.time)
        loop: Any = clock
        self.admission = Admission(Limits(**{"max_frame": 50 * MIB, **limits}), door, loop)
        self.dialects: list[Dialect] = []

    def _speak(self, connection: Connection) -> Dialect:
        self.dialects.append(Dialect(connection))
        return self.dialects[-1]

    def call(self, network: Network | None = None) -> tuple[Connection, Network]:
        """A peer connects."""
        network = network or Network()
        connection = Connection(self.admission, self._speak)
        network.connect(connection)
        return connection, network

    def known(
        self, network: Network | None = None, first: bytes = b"farm"
    ) -> tuple[Connection, Network, Peer, Dialect]:
        """A peer has come in, and made its first request."""
        connection, network = self.call(network)
        peer = Peer(network, KEY)
        takes, network.takes = network.takes, True
        peer.shake_hands()
        peer.say(first)
        network.takes = takes
        return connection, network, peer, self.dialects[-1]
