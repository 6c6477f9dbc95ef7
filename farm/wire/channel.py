"""A client's or node's end of a connection: framed, never waiting without a bound.

The socket does not block. `write` sends what it can at once and keeps the rest in a bounded
backlog; `read` gives the frames that are there. The standard library's handshake functions, which
do wait, are given the same object under one deadline.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from farm.errors import ProtocolError
from farm.wire.frames import (
    LARGE,
    LARGEST,
    MAX_FRAME,
    READ_BYTES,
    Frame,
    FrameReader,
    header,
    joined,
)
from farm.wire.readiness import READ, WRITE, wait_for
from farm.wire.tunnel import Tunnel, TunnelError

SEND_SECONDS = 60.0
"""A peer that takes nothing for so long is given up."""

MAX_BACKLOG = 256 * 1024 * 1024
"""Bytes that may wait to be sent before the connection is given up."""

VANISHED_SECONDS = 30.0
"""A peer that acknowledges nothing of what was sent for so long has vanished."""


def tune(sock: socket.socket) -> None:
    """Send small messages at once, and notice a peer that has vanished without a word."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    be_patient(sock, VANISHED_SECONDS)


def be_patient(sock: socket.socket, seconds: float) -> None:
    """How long the system waits for a peer that takes nothing, be it there or not (tcp(7))."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = int(1000 * min(seconds, 1e6))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


class Channel:
    """One connection to a farm server; `farm.wire.opening` makes them.

    `write` may be called from any thread; `read` from one thread at a time.
    """

    def __init__(
        self, sock: socket.socket, limit: int = MAX_FRAME, tunnel: Tunnel | None = None
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._tunnel = tunnel
        self._reader = FrameReader(limit)
        self._lock = threading.Lock()
        self._backlog = bytearray()
        self._stuck_since: float | None = None
        self.server = ""
        """The id of the server's journal, once it has been greeted."""
        self.largest = limit
        """Bytes of the longest frame that the server takes."""

    def take_frames(self, largest: int) -> None:
        """The server's messages may be as long as those that it takes, up to a GiB.

        Args:
            largest: bytes of a message that the server takes.
        """
        self.largest = largest
        self._reader.limit = max(MAX_FRAME, min(largest, LARGEST))

    def fileno(self) -> int:
        """The socket's descriptor, -1 once closed."""
        return self._sock.fileno()

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent."""
        return len(self._backlog)

    def has_room(self, size: int) -> bool:
        """Whether a frame of so many bytes may be written: the first that waits always may."""
        return not self._backlog or len(self._backlog) + size <= MAX_BACKLOG

    def write(self, *pieces: bytes) -> None:
        """Send a frame, or keep what the network does not take yet.

        Args:
            pieces: what it is made of.

        Raises:
            OSError: the connection is lost, or its peer takes nothing any more.
        """
        with self._lock:
            size = sum(map(len, pieces))
            if not self.has_room(size):
                raise OSError(f"the peer does not read: {len(self._backlog)} bytes wait to be sent")
            parts = (header(size), *pieces)
            if self._tunnel is not None:
                self._push(self._encrypted(b"".join(parts), self._tunnel))
            elif size < LARGE:
                self._push(b"".join(parts))
            else:
                for data in joined(parts):
                    self._push(data)

    def _encrypted(self, data: bytes, tunnel: Tunnel) -> bytes:
        try:
            return tunnel.send(data)
        except TunnelError as error:
            # As with any other end of the connection, whoever reads is told more.
            raise OSError(f"its tunnel is broken: {error}") from error

    def _push(self, data: bytes | memoryview) -> None:
        """Send bytes after those that wait, as far as the network takes them; with the lock."""
        try:
            if self._backlog:
                self._backlog += data
                # Cutting off the front of a bytearray does not copy the rest.
                del self._backlog[: self._send(self._backlog)]
            else:
                self._backlog += memoryview(data)[self._send(data) :]
        except OSError:
            raise
        except BaseException:  # Ctrl-C: nobody knows how much was sent, and what is to follow
            self.close()
            raise

    def begin(self) -> None:
        """Begin to talk: with a tunnel, its first bytes go to the server."""
        if self._tunnel is not None:
            with self._lock:
                self._push(self._tunnel.begin())

    def flush(self) -> bool:
        """Send more of the backlog; True if nothing is left of it."""
        with self._lock:
            if self._backlog:
                self._push(b"")
            return not self._backlog

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        """How many bytes of ``data`` the network took."""
        sent = 0
        with memoryview(data) as view:
            try:
                while sent < len(view):
                    sent += self._sock.send(view[sent:])
                    self._stuck_since = None
            except BlockingIOError:
                now = time.monotonic()
                if self._stuck_since is None:
                    self._stuck_since = now
                elif now - self._stuck_since > SEND_SECONDS:
                    raise OSError(f"the peer has taken nothing for {SEND_SECONDS:.0f} s") from None
        return sent

    def read(self) -> list[Frame]:
        """The frames that have arrived, maybe none; does not wait.

        They are there to be looked at until `recycle`.

        Raises:
            EOFError: the peer has closed the connection.
            OSError: the connection is lost.
            ProtocolError: what arrived is not frames.
        """
        frames: list[Frame] = []
        while True:
            try:
                is_all = self._read_plainly() if self._tunnel is None else self._read_tunnel()
            except BlockingIOError:
                return frames
            except EOFError:
                if frames:
                    return frames  # the end is read again next time
                raise
            frames.extend(self._reader.frames())
            if is_all:
                return frames

    def recycle(self) -> None:
        """The frames that were given are not looked at any more: none may follow for long."""
        self._reader.recycle()

    def _read_plainly(self) -> bool:
        """Take what the network has; whether that was all of it."""
        space = self._reader.space()
        count = self._sock.recv_into(space)
        if not count:
            raise EOFError("the server has closed the connection")
        self._reader.filled(count)
        return count < len(space)

    def _read_tunnel(self) -> bool:
        """The same through the tunnel."""
        data = self._sock.recv(READ_BYTES)
        if not data:
            raise EOFError("the server has closed the connection")
        self._take(data)
        return len(data) < READ_BYTES

    def _take(self, data: bytes) -> None:
        """What the network brought goes to the reader of frames, out of the tunnel first."""
        if self._tunnel is None:
            self._reader.feed(data)
            return
        with self._lock:
            try:
                said, answer = self._tunnel.receive(data)
            except TunnelError as error:
                self._reader.feed(data)  # see `unread`
                with contextlib.suppress(OSError):  # it will not hear why, then
                    self._push(error.farewell)
                raise
            if answer:
                self._push(answer)
        self._reader.feed(said)

    def unread(self) -> list[Frame]:
        """The frames, if they are any, in what was no TLS: why the server turns this peer away."""
        try:
            return list(self._reader.frames())
        except ProtocolError:
            return []

    def wait(self, seconds: float, *, or_sent: bool = False) -> bool:
        """Wait until there is something to read; meanwhile go on sending the backlog.

        Args:
            seconds: to wait at most.
            or_sent: whether not to wait any longer once nothing is left of the backlog.

        Returns:
            Whether there is something to read.
        """
        deadline = time.monotonic() + seconds
        while True:
            pending = not self.flush()
            if or_sent and not pending:
                return wait_for(self._sock, READ, 0.0) == READ
            left = max(0.0, deadline - time.monotonic())
            event = wait_for(self._sock, READ | WRITE if pending else READ, left)
            if event & READ:
                return True
            if not event and left == 0.0:
                return False

    def drain(self) -> None:
        """Wait until everything is on its way, so that no caller outruns the network.

        Raises:
            OSError: the connection is lost, or its peer takes nothing any more.
        """
        while not self.flush():
            wait_for(self._sock, WRITE, SEND_SECONDS)

    def receive(self, deadline: float) -> bytes:
        """The next frame, waited for until ``deadline`` (of `time.monotonic`).

        Only for the exchange that opens a connection: it takes one frame at a time.

        Raises:
            TimeoutError: it did not come.
            EOFError, OSError, ProtocolError: as `read`.
        """
        while True:
            for frame in self._reader.frames():
                return bytes(frame)
            if not self.wait(max(0.0, deadline - time.monotonic())):
                raise TimeoutError("no answer in time")
            data = self._sock.recv(READ_BYTES)
            if not data:
                raise EOFError("the server has closed the connection")
            self._take(data)

    def close(self) -> None:
        """Close at once; wakes whoever waits."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
