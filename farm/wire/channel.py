"""A client's or node's end of a connection: framed, authenticated, never waiting without a bound.

The socket does not block. `write` sends what it can at once and keeps the rest in a bounded
backlog; `read` gives the frames that are there. The standard library's handshake functions, which
do wait, are given the same object under one deadline.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing import connection as stdlib

from farm.errors import NotAuthorisedError, ProtocolError, ServerUnreachableError
from farm.wire import builtins
from farm.wire.address import Address
from farm.wire.frames import MAX_FRAME, FrameReader, header
from farm.wire.messages import PROTOCOL

CONNECT_SECONDS = 10.0
SEND_SECONDS = 60.0
"""A peer that takes nothing for so long is given up."""

MAX_BACKLOG = 256 * 1024 * 1024
"""Bytes that may wait to be sent before the connection is given up."""

_READ_BYTES = 256 * 1024
_USER_TIMEOUT_MS = 30_000

# A selector for one wait: poll needs no descriptor of its own, Windows has only select.
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


def tune(sock: socket.socket) -> None:
    """Send small messages at once, and notice a peer that has vanished without a word."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)


class Channel:
    """One connection to a farm server, after `connect`.

    `write` may be called from any thread; `read` from one thread at a time.
    """

    def __init__(self, sock: socket.socket, limit: int = MAX_FRAME) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._reader = FrameReader(limit)
        self._lock = threading.Lock()
        self._backlog = bytearray()
        self._stuck_since: float | None = None
        self.server = ""
        """The id of the server's journal, once it has been greeted."""

    def fileno(self) -> int:
        """The socket's descriptor, -1 once closed."""
        return self._sock.fileno()

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent."""
        return len(self._backlog)

    def write(self, frame: bytes) -> None:
        """Send a frame, or keep what the network does not take yet.

        Raises:
            OSError: the connection is lost, or its peer takes nothing any more.
        """
        with self._lock:
            if not self._backlog:
                data = header(len(frame)) + frame
                self._backlog += memoryview(data)[self._send(data) :]
                return
            if len(self._backlog) + len(frame) > MAX_BACKLOG:
                raise OSError(f"the peer does not read: {len(self._backlog)} bytes wait to be sent")
            self._backlog += header(len(frame))
            self._backlog += frame
        self.flush()

    def flush(self) -> bool:
        """Send more of the backlog; True if nothing is left of it."""
        with self._lock:
            if self._backlog:
                # Cutting off the front of a bytearray does not copy the rest.
                del self._backlog[: self._send(self._backlog)]
            return not self._backlog

    def _send(self, data: bytes | bytearray) -> int:
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

    def read(self) -> list[bytes]:
        """The frames that have arrived, maybe none; does not wait.

        Raises:
            EOFError: the peer has closed the connection.
            OSError: the connection is lost.
            ProtocolError: what arrived is not frames.
        """
        frames: list[bytes] = []
        while True:
            try:
                data = self._sock.recv(_READ_BYTES)
            except BlockingIOError:
                return frames
            if not data:
                if frames:
                    return frames  # the end is read again next time
                raise EOFError("the server has closed the connection")
            self._reader.feed(data)
            frames.extend(self._reader.frames())
            if len(data) < _READ_BYTES:
                return frames

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to read; meanwhile go on sending the backlog."""
        deadline = time.monotonic() + seconds
        while True:
            pending = not self.flush()
            left = max(0.0, deadline - time.monotonic())
            event = self._select(READ | WRITE if pending else READ, left)
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
            self._select(WRITE, SEND_SECONDS)

    def _select(self, wanted: int, seconds: float) -> int:
        """Which of the wanted events the socket has, 0 if none came in time."""
        with _Selector() as selector:
            try:
                selector.register(self._sock, wanted)
            except ValueError as error:
                raise OSError("the connection is closed") from error
            return next((event for _, event in selector.select(seconds)), 0)

    def receive(self, deadline: float) -> bytes:
        """The next frame, waited for until ``deadline`` (of `time.monotonic`).

        Only for the exchange that opens a connection: it takes one frame at a time.

        Raises:
            TimeoutError: it did not come.
            EOFError, OSError, ProtocolError: as `read`.
        """
        while True:
            for frame in self._reader.frames():
                return frame
            if not self.wait(max(0.0, deadline - time.monotonic())):
                raise TimeoutError("no answer in time")
            data = self._sock.recv(_READ_BYTES)
            if not data:
                raise EOFError("the server has closed the connection")
            self._reader.feed(data)

    def close(self) -> None:
        """Close at once; wakes whoever waits."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


class _Blocking:
    """What the standard library's handshake functions take for a connection."""

    def __init__(self, channel: Channel, deadline: float) -> None:
        self._channel = channel
        self._deadline = deadline

    def send_bytes(self, data: bytes) -> None:
        self._channel.write(data)

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        frame = self._channel.receive(self._deadline)
        if maxlength is not None and len(frame) > maxlength:
            raise ProtocolError(f"a frame of {len(frame)} bytes before the peer is known")
        return frame


def connect(address: Address, authkey: bytes, *, seconds: float = CONNECT_SECONDS) -> Channel:
    """Connect, authenticate both ways, and agree on the protocol.

    Args:
        address: the server's.
        authkey: at least 32 bytes.
        seconds: for all of it together.

    Raises:
        ServerUnreachableError: nobody answers, or what answers is not a farm server.
        NotAuthorisedError: the server does not accept the key.
        ProtocolError: it is a farm server of another protocol.
    """
    deadline = time.monotonic() + seconds
    try:
        sock = socket.create_connection(address, timeout=seconds)
    except (OSError, UnicodeError) as error:
        raise ServerUnreachableError(
            f"no farm server answers at {address}: {_reason(error)}. "
            "Start one with `farm serve`, or name another with --host or FARM_HOST."
        ) from error
    tune(sock)
    channel = Channel(sock)
    try:
        _authenticate(channel, authkey, address, deadline)
        _agree(channel, address, deadline)
    except BaseException:
        channel.close()
        raise
    return channel


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _authenticate(channel: Channel, authkey: bytes, address: Address, deadline: float) -> None:
    blocking = _Blocking(channel, deadline)
    try:
        stdlib.answer_challenge(blocking, authkey)  # type: ignore[arg-type]
        stdlib.deliver_challenge(blocking, authkey)  # type: ignore[arg-type]
    except AuthenticationError as error:
        if "expected challenge" in str(error):
            raise _not_a_server(address, "it does not send a challenge") from error
        raise NotAuthorisedError(
            f"the server at {address} does not accept this key. Use the key file that "
            "`farm serve` printed there: --authkey-file, FARM_AUTHKEY_FILE or FARM_AUTHKEY."
        ) from error
    except (OSError, EOFError, ProtocolError, AssertionError, ValueError) as error:
        raise _not_a_server(address, str(error)) from error


def _not_a_server(address: Address, why: str) -> ServerUnreachableError:
    return ServerUnreachableError(
        f"what answers at {address} is not a farm server ({why or 'no handshake'}). "
        "Check the port, or name another server with --host or FARM_HOST."
    )


def _agree(channel: Channel, address: Address, deadline: float) -> None:
    """Say in the manager's own first request that what follows is farm's protocol."""
    name = f"farm/{PROTOCOL}"
    channel.write(builtins.dumps((None, "accept_connection", (name,), {})))
    try:
        answer = builtins.loads(channel.receive(deadline))
    except (OSError, EOFError) as error:
        raise _not_a_server(address, str(error)) from error
    if answer != ("#RETURN", None):
        said = answer[1] if isinstance(answer, tuple) and len(answer) == 2 else answer
        raise ProtocolError(
            f"the server at {address} does not speak {name}: {said}. "
            "Install the same version of farm on both machines."
        )
