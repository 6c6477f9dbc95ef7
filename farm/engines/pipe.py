"""Frames over the private pipe of a slot: a length of four bytes, then that many bytes.

The owner's end never blocks, because a slot may stop reading or stop in the middle of a frame
whenever its task holds the interpreter; the slot's end may block.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from multiprocessing.connection import Connection

_LENGTH = struct.Struct("!I")
_READ_SIZE = 1 << 18
_READS_AT_ONCE = 64
_JOINED = 1 << 16
"""Bytes up to which frames are written together; to join more would cost more than it saves."""

MAX_FRAME = 128 << 20
"""Bytes; a longer frame means that something else was written to the pipe."""


def frame(data: bytes) -> bytes:
    """The bytes that carry ``data``."""
    return _LENGTH.pack(len(data)) + data


class OwnerPipe:
    """The owner's end.

    Args:
        link: a connected stream socket; it is set non-blocking.
        held: the end of the slot's lifeline (`isolation.die_with_owner`) that the owner holds.
    """

    def __init__(self, link: socket.socket, held: Connection | None = None) -> None:
        link.setblocking(False)
        self._link = link
        self._held = held
        self._incoming = bytearray()
        self._outgoing: deque[memoryview] = deque()
        self.closed = False
        """Nothing more can be read: the slot's end is closed, or broke the protocol."""

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._link.fileno()

    @property
    def pending(self) -> bool:
        """Whether frames wait until the slot reads."""
        return bool(self._outgoing)

    def send(self, *data: bytes) -> None:
        """Queue some frames and write what goes at once: small ones wake the slot once."""
        size = sum(map(len, data))
        frames = map(frame, data)
        if size <= _JOINED:
            self._outgoing.append(memoryview(b"".join(frames)))
        else:
            self._outgoing.extend(map(memoryview, frames))
        self.flush()

    def flush(self) -> None:
        """Write what the slot takes now; a slot that is gone takes everything."""
        while self._outgoing:
            head = self._outgoing[0]
            try:
                sent = self._link.send(head)
            except BlockingIOError:
                return
            except OSError:
                self._outgoing.clear()
                return
            if sent < len(head):
                self._outgoing[0] = head[sent:]
            else:
                self._outgoing.popleft()

    def receive(self) -> list[bytes]:
        """The frames that are complete; what one call reads is bounded."""
        for _ in range(_READS_AT_ONCE):
            try:
                data = self._link.recv(_READ_SIZE)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.closed = True
                break
            self._incoming += data
        return self._frames()

    def _frames(self) -> list[bytes]:
        found: list[bytes] = []
        at = 0
        while len(self._incoming) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._incoming, at)
            if length > MAX_FRAME:
                self.closed = True
                break
            begin = at + _LENGTH.size
            if len(self._incoming) < begin + length:
                break
            at = begin + length
            found.append(bytes(memoryview(self._incoming)[begin:at]))
        del self._incoming[:at]
        return found

    def close(self) -> None:
        """Close the owner's end; the slot takes that for the owner's death."""
        self._link.close()
        if self._held is not None:
            self._held.close()


class SlotPipe:
    """What a slot reads; it waits until there is something.

    Args:
        link: the slot's end.
    """

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._incoming = bytearray()

    def receive(self) -> list[bytes]:
        """The frames that have come: one at least, however long that takes.

        Raises:
            EOFError: the owner's end is closed.
            OSError: the pipe is broken.
        """
        while True:
            found, at = [], 0
            while (end := self._end_of_frame(at)) <= len(self._incoming):
                found.append(bytes(memoryview(self._incoming)[at + _LENGTH.size : end]))
                at = end
            if found:
                del self._incoming[:at]
                return found
            self._fill(end)

    def _end_of_frame(self, at: int) -> int:
        """Where the frame ends that begins there; where its length does if that is not known."""
        if len(self._incoming) < at + _LENGTH.size:
            return at + _LENGTH.size
        return int(at + _LENGTH.size + _LENGTH.unpack_from(self._incoming, at)[0])

    def _fill(self, size: int) -> None:
        """Read until there is so much."""
        while len(self._incoming) < size:
            data = self._link.recv(min(1 << 20, max(_JOINED, size - len(self._incoming))))
            if not data:
                raise EOFError("the owner of the slot is gone")
            self._incoming += data
