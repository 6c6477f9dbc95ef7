"""The directory of an exported batch: written whole or not at all, and read with suspicion."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from farm.batch import shipment
from farm.client.archive import MAX_LINE, Head, Listed, read_head
from farm.errors import UsageError, telling
from farm.regular import open_regular, read_regular
from farm.wire.frames import MAX_FRAME

HEAD = "batch.json"
CODE = "code"
BLOCKS = "blocks.jsonl"
OUTCOMES = "outcomes.jsonl"
RESULTS = "results.jsonl"


class Span(Protocol):
    """Something that is said of the tasks ``[start, stop)``."""

    start: int
    stop: int


S = TypeVar("S", bound=Span)


# -- writing ----------------------------------------------------------------------------------


@contextmanager
def made(directory: Path) -> Iterator[Path]:
    """A new directory to write to, which takes its name when all is written.

    Args:
        directory: must not exist, or be empty.

    Raises:
        UsageError: it is neither, or cannot be written.
    """
    _check_free(directory)
    target = directory.resolve()
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with _writing(directory):
            scratch.mkdir()
            yield scratch
            # An empty directory is replaced; one that is not empty any more is an error.
            scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_free(directory: Path) -> None:
    if not os.path.lexists(directory):
        parent = directory.absolute().parent
        if not parent.is_dir():
            raise UsageError(f"cannot write {directory}: there is no directory {parent}")
        return
    if not directory.is_dir():
        raise UsageError(f"cannot write {directory}: it is there already, and no directory")
    if directory.resolve() == Path.cwd():
        raise UsageError(f"cannot write {directory}: it is the current directory; name a new one")
    with _writing(directory):
        if any(directory.iterdir()):
            raise UsageError(f"cannot write {directory}: it is not empty")


def _writing(directory: Path) -> AbstractContextManager[None]:
    return telling(UsageError, "cannot write", directory)


class Lines:
    """A new file of lines, with what `Listed` tells of it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._hash = hashlib.sha256()
        self._lines = self._tasks = 0

    def write(self, line: bytes, tasks: int) -> None:
        """One more line, which tells of so many tasks."""
        self._file.write(line)
        self._hash.update(line)
        self._lines += 1
        self._tasks += tasks

    @property
    def listed(self) -> Listed:
        """What was written by now."""
        return Listed(self._lines, self._tasks, self._hash.hexdigest())

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


def write_head(directory: Path, text: bytes) -> None:
    """`batch.json`, the last of the files: where it is, the others are."""
    with (directory / HEAD).open("xb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_code(directory: Path, files: Mapping[str, bytes]) -> None:
    """The Python files of a batch, as they are.

    Raises:
        UsageError: one of them wants to lie elsewhere.
    """
    for name, content in files.items():
        try:
            path = directory / CODE / shipment.path_of(name)
        except ValueError as error:
            raise UsageError(str(error)) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


# -- reading ----------------------------------------------------------------------------------


def open_head(directory: Path) -> tuple[Head, bytes]:
    """What is in `batch.json`, and its bytes.

    Raises:
        UsageError: the directory is not an exported batch.
    """
    path = directory / HEAD
    try:
        with _reading(path):
            text = read_regular(path)
    except UsageError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise
        raise UsageError(
            f"{directory} is not an exported batch: there is no {HEAD} in it (see `farm export`)"
        ) from error
    try:
        return read_head(text), text
    except ValueError as error:
        raise UsageError(f"{path}:{error}") from error


def read_code(directory: Path, digest: str) -> dict[str, bytes]:
    """The Python files, if they are those of the digest.

    Raises:
        UsageError: they are not, or are elsewhere.
    """
    if not digest:
        return {}
    root = directory / CODE
    files: dict[str, bytes] = {}
    size = 0
    with _reading(root):
        for path in sorted(root.rglob("*")):
            if path.is_symlink():
                raise UsageError(f"{path}: it is a link; the files of a batch lie in {root}")
            if path.is_dir():
                continue
            with _reading(path), open_regular(path) as file:
                content = file.read(MAX_FRAME - size + 1)
            size += len(content)
            if size > MAX_FRAME:
                raise UsageError(f"{root}: the files are larger than {MAX_FRAME:,} bytes")
            files[_name_in(root, path)] = content
    if shipment.digest(files) != digest:
        raise UsageError(
            f"{root}: the files are not those that were exported (their SHA-256 is another)"
        )
    return files


def _name_in(root: Path, path: Path) -> str:
    name = path.relative_to(root).as_posix()
    try:
        shipment.path_of(name)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    return name


def read_lines(
    path: Path, read: Callable[[bytes], S], listed: Listed, total: int, *, gaps: bool
) -> Iterator[S]:
    """What is in a file of lines, one at a time, each checked.

    Args:
        path: the file.
        read: makes one of a line; raises ValueError.
        listed: what the file holds.
        total: how many tasks there are.
        gaps: whether some may have none.

    Raises:
        UsageError: something is missing or wrong; names the line.
    """
    hashed, number, last = hashlib.sha256(), 0, 0
    with _reading(path), open_regular(path) as file:
        while line := file.readline(MAX_LINE):
            number += 1
            hashed.update(line)
            where = f"{path}:{number}"
            span = _read_line(where, line, read)
            if span.start < last or span.stop > total or (span.start > last and not gaps):
                raise UsageError(
                    f"{where}: tasks {span.start} to {span.stop - 1} do not belong there: "
                    f"the line before ends with task {last - 1}, and there are {total}"
                )
            last = span.stop
            yield span
    if number != listed.lines:
        raise UsageError(
            f"{path}:{number + 1}: it ends here, but has {listed.lines:,} lines by {HEAD}"
            if number < listed.lines
            else f"{path}:{listed.lines + 1}: it goes on, but has {listed.lines:,} lines by {HEAD}"
        )
    if hashed.hexdigest() != listed.sha256:
        raise UsageError(f"{path}: it is not as it was exported (its SHA-256 is another)")


def _read_line(where: str, line: bytes, read: Callable[[bytes], S]) -> S:
    if not line.endswith(b"\n"):
        raise UsageError(f"{where}: the line is cut off")
    try:
        return read(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: {error}") from error


def count_lines(spans: Iterable[Span]) -> int:
    """Read all of them; how many tasks they tell of."""
    return sum(span.stop - span.start for span in spans)


def _reading(path: Path) -> AbstractContextManager[None]:
    return telling(UsageError, "cannot read", path)
