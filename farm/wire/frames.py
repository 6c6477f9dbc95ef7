"""Frames: how the standard library delimits messages on a connection, without the I/O.

The format is that of `multiprocessing.connection` (CPython's `Connection._send_bytes`): a signed
32-bit big-endian length, then the bytes; a length of -1 says that a 64-bit length follows. A
claimed length is checked against a cap before anything is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from farm.errors import ProtocolError
from farm.rooms import Lent, Rooms

_SHORT = struct.Struct("!i")
_LONG = struct.Struct("!Q")
_LARGEST_SHORT = 0x7FFFFFFF

MAX_FRAME = 64 * 1024 * 1024
"""Bytes a frame may have, unless a limit of its own is given."""

LARGEST = 1024 * 1024 * 1024
"""Bytes of the longest frame there can be; one above a limit of less is read and thrown away."""

_HEAD = 16

LARGE = 64 * 1024
"""Bytes from which on a frame is read into its own place at once, and sent without being joined to
its header: to copy it would take longer than a system call."""

_GROWTH = 4
"""By which the room for a large frame grows when it is full."""

READ_BYTES = 256 * 1024
"""Read at a time of all else."""

Frame = bytes | memoryview
"""A large one is there to be looked at until `FrameReader.recycle`."""


def header(size: int) -> bytes:
    """What precedes ``size`` bytes."""
    if size <= _LARGEST_SHORT:
        return _SHORT.pack(size)
    return _SHORT.pack(-1) + _LONG.pack(size)


def joined(parts: Iterable[bytes]) -> Iterator[bytes | memoryview]:
    """What is to be sent one after another: small parts together, large ones as they are."""
    small: list[bytes] = []
    for part in parts:
        if len(part) < LARGE:
            small.append(part)
            continue
        if small:
            yield b"".join(small)
            small = []
        # What the network does not take at once can be cut off of this without a copy.
        yield memoryview(part)
    if small:
        yield b"".join(small)


class Oversized(NamedTuple):
    """A frame above the limit: what it claims to have, and how it begins."""

    size: int
    head: bytes


class FrameReader:
    """Cuts a stream of bytes into frames.

    Args:
        limit: bytes a frame may have; may be changed between frames.
        skip: whether what is above it is skipped, and told of, instead of being an error.
        scratch: where what comes is read to before it is cut up; readers of one thread may share
            it. One of its own if not given.
        rooms: for large frames; likewise.
    """

    def __init__(
        self,
        limit: int = MAX_FRAME,
        *,
        skip: bool = False,
        scratch: memoryview | None = None,
        rooms: Rooms | None = None,
    ) -> None:
        self.limit = limit
        self.skip = skip
        self._scratch = memoryview(bytearray(READ_BYTES)) if scratch is None else scratch
        self._buffer = bytearray()
        self._rooms = rooms or Rooms()
        self._lent = Lent(self._rooms)
        self._large: bytearray | None = None  # room for the first frame, if it is a large one
        self._size = 0  # bytes that it will have
        self._filled = 0  # bytes of it that are there
        self._skipping = 0

    @property
    def buffered(self) -> int:
        """Bytes kept of frames that were not taken."""
        return len(self._buffer) + self._filled

    @property
    def claimed(self) -> int:
        """Bytes that the frame on its way will have; 0 if that is not known yet."""
        if self._large is not None:
            return self._size
        if not self._buffer:
            return 0
        found = self._claim()
        return found[1] if found and found[1] <= self.limit else 0

    def space(self) -> memoryview:
        """Where to put what the network brings next; `filled` is to follow at once."""
        if self._large is None or self._filled == self._size:
            return self._scratch[:]
        if self._filled == len(self._large):
            self._grow(self._large)
        return memoryview(self._large)[self._filled : self._size]

    def _grow(self, large: bytearray) -> None:
        """Make room as it is needed: what a peer claims costs nothing before it has come."""
        large += bytes(min(self._size, _GROWTH * len(large)) - len(large))

    def filled(self, count: int) -> None:
        """So many bytes were put into the `space`."""
        if self._large is not None and self._filled < self._size:
            self._filled += count
        elif self._skipping:
            self.feed(self._scratch[:count])
        else:
            self._buffer += self._scratch[:count]

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what the network brought."""
        view = memoryview(data)
        if self._skipping:
            skipped = min(self._skipping, len(view))
            self._skipping -= skipped
            view = view[skipped:]
        while view and self._large is not None and self._filled < self._size:
            with self.space() as space:  # else there is no making room for more
                count = min(len(view), len(space))
                space[:count] = view[:count]
            self._filled += count
            view = view[count:]
        self._buffer += view

    def frames(self) -> Iterator[Frame]:
        """Each complete frame, once. What follows a frame is looked at when the next is asked for.

        Raises:
            ProtocolError: a frame claims more than the limit, or a negative length.
        """
        for part in self.parts():
            # Where frames alone are asked for, nothing is skipped.
            assert isinstance(part, bytes | memoryview)
            yield part

    def recycle(self) -> None:
        """The frames that were given are not looked at any more; who does so all the same gets an
        error."""
        self._lent.end()

    def parts(self) -> Iterator[Frame | Oversized]:
        """As `frames`, with each frame that is skipped."""
        while (part := self.take()) is not None:
            yield part

    def take(self) -> Frame | Oversized | None:
        """The next of `parts`; None as long as it is not complete."""
        if self._large is not None:
            return self._take_large(self._large)
        if not self._buffer:
            return None
        claim = self._claim()
        if claim is None:
            return None
        start, size = claim
        if size > self.limit:
            return self._oversized(start, size)
        stop = start + size
        if len(self._buffer) < stop:
            if size >= LARGE:  # the rest need not pass through here
                self._begin_large(start, size)
            return None
        frame = bytes(memoryview(self._buffer)[start:stop])
        del self._buffer[:stop]
        return frame

    def _begin_large(self, start: int, size: int) -> None:
        self._size, self._filled = size, len(self._buffer) - start
        self._large = self._rooms.take(min(size, max(LARGE, _GROWTH * self._filled)))
        self._large[: self._filled] = memoryview(self._buffer)[start:]
        self._buffer.clear()

    def _take_large(self, large: bytearray) -> memoryview | None:
        if self._filled < self._size:
            return None
        self._large, self._filled = None, 0
        return self._lent.lend(large, self._size)

    def _oversized(self, start: int, size: int) -> Oversized | None:
        if not self.skip or size > LARGEST:
            raise ProtocolError(f"a frame of {size} bytes; the limit is {self.limit}")
        if len(self._buffer) < start + min(size, _HEAD):
            return None
        head = bytes(self._buffer[start : start + min(size, _HEAD)])
        there = min(size, len(self._buffer) - start)
        del self._buffer[: start + there]
        self._skipping = size - there
        return Oversized(size, head)

    def _claim(self) -> tuple[int, int] | None:
        """Where the first frame's bytes begin, and how many it claims to have."""
        if len(self._buffer) < _SHORT.size:
            return None
        start = _SHORT.size
        (size,) = _SHORT.unpack_from(self._buffer)
        if size == -1:
            if len(self._buffer) < start + _LONG.size:
                return None
            (size,) = _LONG.unpack_from(self._buffer, start)
            start += _LONG.size
        if size < 0:
            raise ProtocolError(f"a frame of {size} bytes; the limit is {self.limit}")
        return start, size
