"""TCP proxies between a server and its peers, which cut, stall, or wait for a message to do harm.

All of them run in one loop on one thread: what passes is seen within microseconds, so that harm
can be done while an answer is on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

HOST = "127.0.0.1"
PATIENCE = 10.0
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST and drops what was not sent (socket(7))."""

T = TypeVar("T")


class Way(enum.Enum):
    """Where bytes are going."""

    UP = "to the server"
    DOWN = "from the server"


@dataclass
class Trap:
    """What is to happen at the next message.

    Args:
        way: of the message.
        least: bytes it has at least; what is smaller passes.
        passes: which share of it is passed on.
        cuts: whether all connections are then reset.
        spring: called before anything is passed on.
    """

    way: Way
    least: int = 1
    passes: float = 1.0
    cuts: bool = False
    spring: Callable[[], None] = lambda: None
    sprung: threading.Event = field(default_factory=threading.Event)


class Proxies:
    """The loop that proxies share."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxies")
        self._thread.start()
        self._all: list[Proxy] = []

    def open(self) -> Proxy:
        """A new proxy, which listens from now on and has no target yet."""
        made = Proxy(self)
        self.wait(made.listen())
        self._all.append(made)
        return made

    def call(self, function: Callable[[], T]) -> T:
        """Run something in the loop; its value."""

        async def run() -> T:
            return function()

        return self.wait(run())

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something that runs in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def close(self) -> None:
        """Close every proxy and end the thread."""
        for proxy in self._all:
            self.wait(proxy.end())
        self.call(lambda: None)  # what the ends of connections still had to do
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


class Proxy:
    """One listening port in front of the server; all but `listen` and `end` from any thread."""

    def __init__(self, proxies: Proxies) -> None:
        self.target = 0
        self.port = 0
        self.trap: Trap | None = None
        self.pairs: set[Pair] = set()
        self.stalled = False
        self._proxies = proxies
        self._listener: asyncio.Server | None = None

    async def listen(self) -> None:
        """Begin to take connections."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Pair(self).peer, HOST, 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def end(self) -> None:
        """Take no more connections, and cut those that there are."""
        if self._listener is not None:
            self._listener.close()
        self.reset()

    def cut(self) -> None:
        """Reset all connections, on both sides."""
        self._proxies.call(self.reset)

    def stall(self) -> None:
        """Forward nothing until the next `cut`, neither on connections that come meanwhile."""
        self._proxies.call(self._stall)

    def set(self, trap: Trap) -> None:
        """Wait for a message."""
        self._proxies.call(lambda: setattr(self, "trap", trap))

    def disarm(self) -> None:
        """Wait for it no longer."""
        self._proxies.call(lambda: setattr(self, "trap", None))

    def reset(self) -> None:
        """In the loop: what `cut` does."""
        self.stalled = False
        for pair in list(self.pairs):
            pair.reset()

    def _stall(self) -> None:
        self.stalled = True
        for pair in self.pairs:
            pair.pause()

    def passes(self, data: bytes, way: Way, send: Callable[[bytes], None]) -> None:
        """In the loop: bytes have come and are passed on, unless a trap says otherwise."""
        trap = self.trap
        if trap is None or trap.way is not way or len(data) < trap.least:
            send(data)
            return
        self.trap = None
        trap.spring()
        send(data[: int(len(data) * trap.passes)])
        if trap.cuts:
            self.reset()
        trap.sprung.set()


class Pair:
    """A connection of a peer, and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.peer = Side(self, Way.UP)
        self.server = Side(self, Way.DOWN)
        self._waiting: list[bytes] = []
        self._connecting: asyncio.Task[None] | None = None

    def connected(self, side: Side) -> None:
        """One of the sides is there."""
        if side is self.peer:
            self.proxy.pairs.add(self)
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        if self.proxy.stalled:
            self.pause()
        elif side is self.server:
            for data in self._waiting:  # before anything that comes from now on
                self.proxy.passes(data, Way.UP, side.send)
            self._waiting.clear()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.server, HOST, self.proxy.target)
        except OSError:
            self.reset()  # the server is away
            return
        if self.peer.transport is None or self.peer.transport.is_closing():
            self.reset()

    def received(self, side: Side, data: bytes) -> None:
        """Bytes from one side for the other."""
        if side is self.peer and self.server.transport is None:
            self._waiting.append(data)
            return
        other = self.server if side is self.peer else self.peer
        self.proxy.passes(data, side.way, other.send)

    def pause(self) -> None:
        """Read no more."""
        for side in (self.peer, self.server):
            if side.transport is not None and not side.transport.is_closing():
                side.transport.pause_reading()

    def lost(self, side: Side) -> None:
        """One side has closed: the other gets what is still on its way, then its end."""
        other = self.server if side is self.peer else self.peer
        if other.transport is not None:
            other.transport.close()
        self.proxy.pairs.discard(self)

    def reset(self) -> None:
        """Close both sides with RST."""
        for side in (self.peer, self.server):
            if side.transport is not None:
                with contextlib.suppress(OSError):  # it is closed already
                    made = side.transport.get_extra_info("socket")
                    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                side.transport.abort()
        self.proxy.pairs.discard(self)


class Side(asyncio.Protocol):
    """One of the two connections of a pair.

    Args:
        pair: it belongs to.
        way: where the bytes that it reads are going.
    """

    def __init__(self, pair: Pair, way: Way) -> None:
        self.pair = pair
        self.way = way
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        made = transport.get_extra_info("socket")
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        self.pair.connected(self)

    def send(self, data: bytes) -> None:
        """Write, if it is still open."""
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self.pair.received(self, data)

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed."""
        del error
        self.pair.lost(self)
