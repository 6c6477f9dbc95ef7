"""The files that travel with a batch: what they may be called, how many, and their digest.

Checked wherever they pass: by who exports or imports them, by the server, by the node that unpacks
them. What is refused at the server costs no node anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath

MAX_FILES = 10_000
MAX_BYTES = 1024 * 1024 * 1024
"""Bytes of all files of a batch together; a message may hold less (`farm serve --max-frame`)."""

MAX_PATH = 1000
MAX_NAME = 200
"""Bytes of a path, and of each name in it: what any file system takes."""

_FORBIDDEN = frozenset(map(chr, range(32))) | {"\\", ":", "\x7f"}


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 (hex) over names and contents, whatever their order; empty if there are none."""
    if not files:
        return ""
    hashed = hashlib.sha256()
    for name, content in sorted(files.items()):
        for part in (name.encode(), content):
            hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.hexdigest()


def path_of(name: str) -> PurePosixPath:
    """Where a file that is shipped lies, below the directory that takes them.

    Raises:
        ValueError: it would lie elsewhere, or not everywhere.
    """
    path = PurePosixPath(name)
    if (
        not path.parts
        or path.is_absolute()
        or ".." in path.parts
        or str(path) != name
        or _FORBIDDEN & set(name)
        or len(name.encode()) > MAX_PATH
        or max(len(part.encode()) for part in path.parts) > MAX_NAME
    ):
        raise ValueError(f"a file that is shipped cannot be called {name!r}")
    return path


def check(files: Mapping[str, bytes]) -> None:
    """See that files can be unpacked, side by side and in no other place.

    Raises:
        ValueError: they are too many or too large, or one has a name that it cannot have.
    """
    if len(files) > MAX_FILES:
        raise ValueError(f"{len(files):,} files; at most {MAX_FILES:,} travel with a batch")
    size = sum(map(len, files.values()))
    if size > MAX_BYTES:
        raise ValueError(f"the files have {size:,} bytes; at most {MAX_BYTES:,} travel")
    for name in files:
        for parent in path_of(name).parents:
            if str(parent) in files:
                raise ValueError(f"{str(parent)!r} is a file, and {name!r} would lie in it")
