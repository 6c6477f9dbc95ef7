"""Frames: how the standard library delimits messages on a connection, without the I/O.

The format is that of `multiprocessing.connection` (CPython's `Connection._send_bytes`): a signed
32-bit big-endian length, then the bytes; a length of -1 says that a 64-bit length follows. A
claimed length is checked against a cap before anything is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from farm.errors import ProtocolError

_SHORT = struct.Struct("!i")
_LONG = struct.Struct("!Q")
_LARGEST_SHORT = 0x7FFFFFFF

MAX_FRAME = 64 * 1024 * 1024
"""Bytes a frame may have, unless a limit of its own is given."""


def header(size: int) -> bytes:
    """What precedes ``size`` bytes."""
    if size <= _LARGEST_SHORT:
        return _SHORT.pack(size)
    return _SHORT.pack(-1) + _LONG.pack(size)


class FrameReader:
    """Cuts a stream of bytes into frames.

    Args:
        limit: bytes a frame may have; may be changed between frames.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.limit = limit
        self._buffer = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes kept of a frame that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what the network brought."""
        self._buffer += data

    def frames(self) -> Iterator[bytes]:
        """Each complete frame, once. What follows a frame is looked at when the next is asked for.

        Raises:
            ProtocolError: a frame claims more than the limit, or a negative length.
        """
        while (extent := self._extent()) is not None:
            start, stop = extent
            frame = bytes(memoryview(self._buffer)[start:stop])
            del self._buffer[:stop]
            yield frame

    def _extent(self) -> tuple[int, int] | None:
        """Where the first frame's bytes are, if they are all there."""
        if len(self._buffer) < _SHORT.size:
            return None
        start = _SHORT.size
        (size,) = _SHORT.unpack_from(self._buffer)
        if size == -1:
            if len(self._buffer) < start + _LONG.size:
                return None
            (size,) = _LONG.unpack_from(self._buffer, start)
            start += _LONG.size
        if not 0 <= size <= self.limit:
            raise ProtocolError(f"a frame of {size} bytes; the limit is {self.limit}")
        stop = start + size
        return (start, stop) if len(self._buffer) >= stop else None
