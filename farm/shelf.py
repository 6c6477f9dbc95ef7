"""Results until the server has journalled them: in memory, and beyond a limit in a file.

A node goes on computing while its server is away, for as long as that takes; what it cannot deliver
must not cost it its memory.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from farm.errors import FarmError

log = logging.getLogger("farm.worker")

MEMORY_BYTES = 64 * 1024 * 1024
"""Payload bytes kept in memory; what comes beyond goes to the disk."""


@dataclass(frozen=True, slots=True)
class InFile:
    """A payload in the file."""

    offset: int
    size: int


Kept = bytes | InFile
"""A payload, wherever it is; as `Shelf.put` gave it."""


class Shelf(Protocol):
    """Keeps payloads."""

    def put(self, payload: bytes) -> Kept:
        """Keep one."""

    def read(self, kept: Kept) -> bytes:
        """What was kept."""

    def drop(self, kept: Kept) -> None:
        """It is not wanted any more."""


class MemoryShelf:
    """Keeps all of it in memory."""

    def put(self, payload: bytes) -> Kept:
        """Keep one."""
        return payload

    def read(self, kept: Kept) -> bytes:
        """What was kept."""
        assert isinstance(kept, bytes)
        return kept

    def drop(self, kept: Kept) -> None:
        """It is not wanted any more."""


class SpoolShelf:
    """Keeps at most so many bytes in memory, the rest in a file without a name.

    Args:
        directory: where the file lies; the space is free again when the process ends, however.
        limit: bytes in memory.

    Example:
        >>> shelf = SpoolShelf(Path("."), limit=3)
        >>> kept = [shelf.put(b"abc"), shelf.put(b"defg")]
        >>> kept[1], shelf.read(kept[1])
        (InFile(offset=0, size=4), b'defg')
    """

    def __init__(self, directory: Path, limit: int = MEMORY_BYTES) -> None:
        self._directory = directory
        self._limit = limit
        self._in_memory = 0
        self._in_file = 0
        self._end = 0
        self._file: IO[bytes] | None = None
        self._complained = False

    def put(self, payload: bytes) -> Kept:
        """Keep one; in memory too if the disk does not take it."""
        if self._in_memory + len(payload) > self._limit:
            try:
                return self._write(payload)
            except OSError as error:
                if not self._complained:
                    log.warning("results stay in memory, the disk does not take them: %s", error)
                self._complained = True
        self._in_memory += len(payload)
        return payload

    def _write(self, payload: bytes) -> InFile:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115
        self._file.seek(self._end)
        view = memoryview(payload)
        while view:
            view = view[self._file.write(view) :]
        kept = InFile(self._end, len(payload))
        self._end += kept.size
        self._in_file += kept.size
        return kept

    def read(self, kept: Kept) -> bytes:
        """What was kept.

        Raises:
            FarmError: the file cannot be read.
        """
        if isinstance(kept, bytes):
            return kept
        assert self._file is not None
        try:
            self._file.seek(kept.offset)
            payload = bytearray()
            while len(payload) < kept.size and (piece := self._file.read(kept.size - len(payload))):
                payload += piece
        except OSError as error:
            raise FarmError(f"results on the disk cannot be read again: {error}") from error
        if len(payload) < kept.size:
            raise FarmError("the file of results is shorter than what was written to it")
        return bytes(payload)

    def drop(self, kept: Kept) -> None:
        """It is not wanted any more; an empty file gives its space back."""
        if isinstance(kept, bytes):
            self._in_memory -= len(kept)
            return
        self._in_file -= kept.size
        if not self._in_file and self._file is not None:
            self._end = 0
            with contextlib.suppress(OSError):  # its space is used again all the same
                self._file.truncate(0)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
