"""Frames: how the standard library delimits messages on a connection, without the I/O.

The format is that of `multiprocessing.connection` (CPython's `Connection._send_bytes`): a signed
32-bit big-endian length, then the bytes; a length of -1 says that a 64-bit length follows. A
claimed length is checked against a cap before anything is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from farm.errors import ProtocolError

_SHORT = struct.Struct("!i")
_LONG = struct.Struct("!Q")
_LARGEST_SHORT = 0x7FFFFFFF

MAX_FRAME = 64 * 1024 * 1024
"""Bytes a frame may have, unless a limit of its own is given."""

LARGEST = 1024 * 1024 * 1024
"""Bytes of the longest frame there can be; one above a limit of less is read and thrown away."""

_HEAD = 16


def header(size: int) -> bytes:
    """What precedes ``size`` bytes."""
    if size <= _LARGEST_SHORT:
        return _SHORT.pack(size)
    return _SHORT.pack(-1) + _LONG.pack(size)


class Oversized(NamedTuple):
    """A frame above the limit: what it claims to have, and how it begins."""

    size: int
    head: bytes


class FrameReader:
    """Cuts a stream of bytes into frames.

    Args:
        limit: bytes a frame may have; may be changed between frames.
        skip: whether what is above it is skipped, and told of, instead of being an error.
    """

    def __init__(self, limit: int = MAX_FRAME, *, skip: bool = False) -> None:
        self.limit = limit
        self.skip = skip
        self._buffer = bytearray()
        self._skipping = 0

    @property
    def buffered(self) -> int:
        """Bytes kept of a frame that is not complete."""
        return len(self._buffer)

    @property
    def claimed(self) -> int:
        """Bytes that the frame on its way will have; 0 if that is not known yet."""
        found = self._claim()
        return found[1] if found and found[1] <= self.limit else 0

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what the network brought."""
        if self._skipping:
            skipped = min(self._skipping, len(data))
            self._skipping -= skipped
            data = memoryview(data)[skipped:]
        self._buffer += data

    def frames(self) -> Iterator[bytes]:
        """Each complete frame, once. What follows a frame is looked at when the next is asked for.

        Raises:
            ProtocolError: a frame claims more than the limit, or a negative length.
        """
        for part in self.parts():
            assert isinstance(part, bytes)  # nothing is skipped where frames alone are asked for
            yield part

    def parts(self) -> Iterator[bytes | Oversized]:
        """As `frames`, with each frame that is skipped."""
        while (part := self.take()) is not None:
            yield part

    def take(self) -> bytes | Oversized | None:
        """The next of `parts`; None as long as it is not complete."""
        claim = self._claim()
        if claim is None:
            return None
        start, size = claim
        if size > self.limit:
            return self._oversized(start, size)
        stop = start + size
        if len(self._buffer) < stop:
            return None
        frame = bytes(memoryview(self._buffer)[start:stop])
        del self._buffer[:stop]
        return frame

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
