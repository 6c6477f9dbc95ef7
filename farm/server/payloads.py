"""Large payloads, in files beside the journal: one for each batch, which only grows.

Apart from the database because there each byte of them would be written three times: into the log
of its pages, page by page with checksums, and from there into its file. What counts is what a row
of the journal names: a payload is written before the transaction that names it, and what no row
names is harmless.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from farm.regular import check_regular

LARGE = 32 * 1024
"""Bytes from which on a payload goes into a file; smaller ones cost less in their rows."""

MOST_OPEN = 32
"""Files that are kept open, apart from those that one call needs."""

CUT_BYTES = 128 * 1024 * 1024
"""Taken off a file at once when its batch was forgotten: about 10 ms on ext4."""

DIRECTORY_NAME = "payloads"

_MOST_BUFFERS = 1024
"""Of one system call (IOV_MAX of Linux)."""

MARK_BYTES = 8
"""Behind each payload stands its size: a hole in a damaged file is not taken for a payload."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL}
"""What says that there is no file, or none of ours (see `farm.regular`). All else may pass: a disk
that does not answer now, or lets this user not read, may do so when it is mounted anew."""
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Payloads(Protocol):
    """Where the journal keeps large payloads; written by `append`, in force with `keep`."""

    def append(self, batch: int, payloads: Sequence[bytes]) -> list[int]:
        """Write payloads of a batch; the place of each.

        Raises:
            sqlite3.OperationalError: they cannot be written for now.
        """

    def keep(self) -> None:
        """What was appended is named by rows now."""

    def undo(self) -> None:
        """What was appended since `keep` is named by none, and is written over."""

    def read(self, batch: int, place: int, size: int) -> bytes:
        """A payload.

        Raises:
            sqlite3.OperationalError: it cannot be read for now.
            sqlite3.DatabaseError: it is not there.
        """

    def cut(self, batch: int) -> bool:
        """Remove some of a batch that nobody reads any more; whether there is more.

        Raises:
            sqlite3.OperationalError: it cannot be done for now.
        """

    def retain(self, batches: Iterable[int]) -> None:
        """Remove what is not of these batches."""

    def is_there(self) -> bool:
        """Whether all that is in use lies where it did."""

    def close(self) -> None:
        """Let go of all of it."""


@dataclass(slots=True)
class _File:
    descriptor: int
    end: int
    """Behind all that is named by rows."""


class PayloadFiles:
    """Payloads in a directory, which is made when the first one comes.

    Args:
        directory: of one journal alone.
        journal: the file of the journal; who may read that may read these.
        sync: whether to wait for the disk.
        named: gives for a batch where the last payload ends that a row names.
    """

    def __init__(
        self, directory: Path, journal: Path, *, sync: bool, named: Callable[[int], int]
    ) -> None:
        self._directory = directory
        self._sync = sync
        self._named = named
        status = journal.stat()
        self._mode, self._owner = status.st_mode & 0o666, (status.st_uid, status.st_gid)
        self._place = self._there(directory)
        self._files: OrderedDict[int, _File] = OrderedDict()
        self._ahead: dict[int, tuple[int, int]] = {}  # by batch, where what is to be kept lies

    # -- writing ------------------------------------------------------------------------------

    def append(self, batch: int, payloads: Sequence[bytes]) -> list[int]:
        """See `Payloads`; with ``sync`` they are on the disk when this returns."""
        buffers, places, at = [], [], 0
        for payload in payloads:
            places.append(at)
            buffers += [payload, len(payload).to_bytes(MARK_BYTES, "little")]
            at += len(payload) + MARK_BYTES
        try:
            file = self._open(batch, make=True)
            begin, end = self._ahead.setdefault(batch, (file.end, file.end))
            _write(file.descriptor, buffers, end)
            self._ahead[batch] = begin, end + at
            if self._sync:
                os.fdatasync(file.descriptor)
        except OSError as error:
            raise _refused(error) from error
        return [end + place for place in places]

    def keep(self) -> None:
        """See `Payloads`."""
        for batch, (_, end) in self._ahead.items():
            if batch in self._files:
                self._files[batch].end = end
        self._ahead.clear()

    def undo(self) -> None:
        """See `Payloads`; the room that it took on the disk is given back."""
        for batch, (begin, _) in self._ahead.items():
            # What cannot be cut off is written over, or lies there unnamed until the batch goes.
            with contextlib.suppress(OSError, sqlite3.Error):
                file = self._open(batch)
                os.ftruncate(file.descriptor, begin)
                file.end = begin
        self._ahead.clear()

    # -- reading ------------------------------------------------------------------------------

    def read(self, batch: int, place: int, size: int) -> bytes:
        """See `Payloads`."""
        try:
            descriptor = self._open(batch).descriptor
            found = _read(descriptor, size, place)
            mark = _read(descriptor, MARK_BYTES, place + size)
        except OSError as error:
            if error.errno in _GONE:
                raise _damaged(batch, _reason(error)) from error
            with contextlib.suppress(OSError):  # one that is stale stays so until it is opened anew
                self._close(batch)
            raise _refused(error) from error
        if len(found) < size or mark != size.to_bytes(MARK_BYTES, "little"):
            raise _damaged(batch, f"there is none of {size:,} bytes at {place:,}")
        return found

    # -- removing -----------------------------------------------------------------------------

    def cut(self, batch: int) -> bool:
        """See `Payloads`; bit by bit, as a disk may take seconds for a very large file."""
        path = self._directory / str(batch)
        self._close(batch)
        try:
            size = path.lstat().st_size
            if size > CUT_BYTES:
                os.truncate(path, size - CUT_BYTES)
                return True
            path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _refused(error) from error
        return False

    def retain(self, batches: Iterable[int]) -> None:
        """See `Payloads`; what has no batch's number for a name is let be."""
        known = set(map(str, batches))
        try:
            paths = list(self._directory.iterdir())
        except FileNotFoundError:
            return
        for path in paths:
            if path.name.isdecimal() and path.name not in known:
                path.unlink()

    # -- files --------------------------------------------------------------------------------

    def is_there(self) -> bool:
        """See `Payloads`. A disk that does not answer says so when it is written to."""
        try:
            if self._place is not None and self._there(self._directory) != self._place:
                return False
            return all(
                self._there(self._directory / str(batch)) == _identity(os.fstat(file.descriptor))
                for batch, file in self._files.items()
            )
        except OSError:
            return True

    @staticmethod
    def _there(path: Path) -> tuple[int, int] | None:
        try:
            return _identity(path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _open(self, batch: int, *, make: bool = False) -> _File:
        file = self._files.get(batch)
        if file is None:
            while len(self._files) >= MOST_OPEN:
                self._close(next(iter(self._files)))
            file = self._files[batch] = self._opened(batch, make=make)
        self._files.move_to_end(batch)
        return file

    def _opened(self, batch: int, *, make: bool) -> _File:
        path = self._directory / str(batch)
        try:
            descriptor = os.open(path, _FLAGS)
        except FileNotFoundError:
            if not make:
                raise
            descriptor = self._made(path)
        try:
            check_regular(path, status := os.fstat(descriptor))
            if make and self._sync and not status.st_size:
                self._settle_names()
            # What a loss of power took from the file is missing, but nothing lies in its place.
            return _File(descriptor, max(status.st_size, self._named(batch)))
        except BaseException:
            os.close(descriptor)
            raise

    def _made(self, path: Path) -> int:
        for directory in (self._directory.parent, self._directory):
            with contextlib.suppress(FileExistsError):
                directory.mkdir(mode=0o700)
                self._share(directory, self._mode | (self._mode & 0o444) >> 2)
        if self._place is None:
            self._place = self._there(self._directory)
        descriptor = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            self._share(descriptor, self._mode)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _share(self, what: int | Path, mode: int) -> None:
        """Give it to whom the journal belongs, and let those read it who may read that."""
        os.chmod(what, mode)  # noqa: PTH101 - a descriptor, too
        if os.geteuid() == 0:
            os.chown(what, *self._owner)

    def _settle_names(self) -> None:
        """See that a new file is found again, and its directories."""
        for directory in (self._directory, self._directory.parent, self._directory.parent.parent):
            descriptor = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _close(self, batch: int) -> None:
        file = self._files.pop(batch, None)
        if file is not None:
            os.close(file.descriptor)

    def close(self) -> None:
        """See `Payloads`."""
        for batch in list(self._files):
            self._close(batch)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _refused(error: OSError) -> sqlite3.OperationalError:
    """What SQLite says where it cannot write; to others it is one journal."""
    if error.errno in _FULL:
        return sqlite3.OperationalError("database or disk is full")
    return sqlite3.OperationalError(f"disk I/O error: {_reason(error)}")


def _damaged(batch: int, what: str) -> sqlite3.DatabaseError:
    return sqlite3.DatabaseError(f"malformed: the file of large payloads of batch {batch}: {what}")


def _reason(error: OSError) -> str:
    """Without the path: whoever asks for something may read it."""
    return error.strerror or str(error)


def _write(descriptor: int, buffers: list[bytes], at: int) -> None:
    left = deque(memoryview(buffer) for buffer in buffers)
    while left:
        written = os.pwritev(descriptor, list(islice(left, _MOST_BUFFERS)), at)
        at += written
        while left and written >= len(left[0]):
            written -= len(left.popleft())
        if left:
            left[0] = left[0][written:]


def _read(descriptor: int, size: int, at: int) -> bytes:
    """So many bytes, or those that there are."""
    found = os.pread(descriptor, size, at)
    while 0 < len(found) < size:  # a system call reads no more than 2 GiB
        more = os.pread(descriptor, size - len(found), at + len(found))
        if not more:
            break
        found += more
    return found
