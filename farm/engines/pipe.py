"""Frames over the private pipe of a slot: a length of four bytes, then that many bytes.

The owner's end never blocks, because a slot may stop reading or stop in the middle of a frame
whenever its task holds the interpreter; the slot's end may block.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection

from farm.rooms import Lent, Rooms

_LENGTH = struct.Struct("!I")
_READ_SIZE = 256 << 10
_READS_AT_ONCE = 64

_LARGE = 64 << 10
"""Bytes from which on a frame is read into its own place at once, and written without being joined
to others: to copy it would take longer than a system call."""

MAX_FRAME = 128 << 20
"""Bytes; a longer frame means that something else was written to the pipe."""

_GONE = (errno.EPIPE, errno.ECONNRESET)
_TAKEN = (errno.EBADF, errno.ENOTSOCK)

Data = bytes | memoryview


class OwnerGone(Exception):
    """The owner's end of a slot's pipe is closed."""


class PipeTaken(Exception):
    """A task closed the slot's end of the pipe, replaced it, or read from it."""


def send_all(link: socket.socket, data: bytes) -> None:
    """Write to the slot's end, however long that takes.

    Raises:
        OwnerGone: there is nobody to read.
        PipeTaken: there is no pipe any more.
    """
    try:
        link.sendall(data)
    except OSError as error:
        _tell_apart(error)
        raise


def _tell_apart(error: OSError) -> None:
    """Raise the pipe's own errors as such: a signal handler may have raised an OSError, too."""
    if error.errno in _GONE:
        raise OwnerGone("the owner of the slot is gone") from error
    if error.errno in _TAKEN:
        raise PipeTaken("the slot has no pipe any more") from error


def parts(*pieces: bytes) -> list[bytes]:
    """What carries a message of some pieces, in one if that is no more than a copy of little."""
    first, *others = pieces
    size = sum(map(len, pieces)) if others else len(first)
    head = _LENGTH.pack(size)
    if len(first) >= _LARGE:
        return [head, *pieces]
    return [head + first, *others] if size >= _LARGE or not others else [head + b"".join(pieces)]


class Incoming:
    """Cuts what is read into frames.

    Args:
        rooms: for large frames; those of several may be the same.
    """

    def __init__(self, rooms: Rooms | None = None) -> None:
        self._rooms = rooms or Rooms()
        self._lent = Lent(self._rooms)
        self._scratch = memoryview(bytearray(_READ_SIZE))
        self._buffer = bytearray()
        self._large: bytearray | None = None  # room for a large frame that is not complete
        self._size = 0  # bytes that it will have
        self._filled = 0  # bytes of it that are there
        self.broken = False
        """What was read are no frames; nothing more is to be read."""

    @property
    def partial(self) -> bool:
        """Whether the end of a frame is to come."""
        return self._large is not None or bool(self._buffer)

    def read(self, link: socket.socket) -> int:
        """Read once from a socket; how many bytes, 0 at its end."""
        if self._large is None:
            count = link.recv_into(self._scratch)
            self._buffer += self._scratch[:count]
        else:
            count = link.recv_into(memoryview(self._large)[self._filled : self._size])
            self._filled += count
        return count

    def frames(self) -> list[Data]:
        """Those that are complete, each once; large ones are to be looked at until `recycle`."""
        found: list[Data] = []
        if self._large is not None:
            if self._filled < self._size:
                return found
            found.append(self._lent.lend(self._large, self._size))
            self._large = None
        at = 0
        while len(self._buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, at)
            begin = at + _LENGTH.size
            end = begin + length
            if length > MAX_FRAME:
                self.broken = True
                break
            if len(self._buffer) < end:
                if length >= _LARGE:
                    self._begin_large(begin, length)
                    return found
                break
            found.append(bytes(memoryview(self._buffer)[begin:end]))
            at = end
        del self._buffer[:at]
        return found

    def _begin_large(self, begin: int, length: int) -> None:
        """The last frame that has begun to come is read to where it is to be."""
        self._large, self._size = self._rooms.take(length), length
        self._filled = len(self._buffer) - begin
        self._large[: self._filled] = memoryview(self._buffer)[begin:]
        self._buffer.clear()

    def recycle(self) -> None:
        """Nobody looks at the frames that were given any more."""
        self._lent.end()


class OwnerPipe:
    """The owner's end.

    Args:
        link: a connected stream socket; it is set non-blocking.
        held: the end of the slot's lifeline (`isolation.die_with_owner`) that the owner holds.
        rooms: for large frames, of all the owner's pipes.
    """

    def __init__(
        self, link: socket.socket, held: Connection | None = None, rooms: Rooms | None = None
    ) -> None:
        link.setblocking(False)
        self._link = link
        self._held = held
        self._incoming = Incoming(rooms)
        self._outgoing: deque[memoryview] = deque()
        self.closed = False
        """Nothing more can be read: the slot's end is closed, or `broken`."""
        self.broken = False
        """What was read makes no sense: something else was written to the pipe."""
        self.partial = False
        """The end of a frame is to come."""

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._link.fileno()

    @property
    def pending(self) -> bool:
        """Whether frames wait until the slot reads."""
        return bool(self._outgoing)

    def send(self, *messages: Sequence[bytes]) -> None:
        """Queue some frames and write what goes at once: small ones wake the slot once.

        Args:
            messages: the pieces of each.
        """
        pieces = [piece for each in messages for piece in parts(*each)]
        if sum(map(len, pieces)) < _LARGE:
            pieces = [b"".join(pieces)]
        self._outgoing.extend(map(memoryview, pieces))
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

    def receive(self) -> list[Data]:
        """The frames that are complete, to be looked at until `recycle`.

        What one call reads is bounded.
        """
        found: list[Data] = []
        for _ in range(_READS_AT_ONCE):
            try:
                count = self._incoming.read(self._link)
            except BlockingIOError:
                break
            except OSError:
                count = 0
            found += self._incoming.frames() if count else []
            self.broken = self._incoming.broken
            if not count or self.broken:
                self.closed = True
                break
        self.partial = self._incoming.partial
        return found

    def recycle(self) -> None:
        """The frames that were given are not looked at any more: the slot may say nothing else for
        long."""
        self._incoming.recycle()

    def close(self) -> None:
        """Close the owner's end; the slot takes that for the owner's death."""
        self._link.close()
        if self._held is not None:
            self._held.close()


class SlotPipe:
    """What a slot reads; each read waits until there is something.

    Args:
        link: the slot's end.
    """

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._incoming = Incoming()

    def receive(self) -> list[Data]:
        """The frames that are complete after one more read; maybe none, if they are long.

        They are to be looked at until `recycle`.

        Raises:
            OwnerGone: the owner's end is closed.
            PipeTaken: there is no pipe any more, or a part of what came is missing.
        """
        if self._incoming.broken:
            raise PipeTaken("a part of what the slot was sent is missing")
        try:
            count = self._incoming.read(self._link)
        except OSError as error:
            _tell_apart(error)
            raise
        if not count:
            raise OwnerGone("the owner of the slot is gone")
        return self._incoming.frames()

    def recycle(self) -> None:
        """The frames that were given are not looked at any more."""
        self._incoming.recycle()
