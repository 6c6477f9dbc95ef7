"""Files and directories that are there whole or not at all, whenever one looks."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def new_directory(directory: Path) -> Iterator[Path]:
    """A new directory to write to, for its owner alone, which takes its name when all is written.

    Args:
        directory: must not be there.

    Raises:
        OSError: it cannot be made; then nothing of it is left.
    """
    scratch = directory.with_name(f".{directory.name}.{secrets.token_hex(8)}.part")
    try:
        scratch.mkdir(mode=0o700)
        yield scratch
        scratch.rename(directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_file(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file, in place of the one that was there.

    Args:
        path: the file.
        content: all of it.
        private: whether nobody but its owner may read it.

    Raises:
        OSError: it cannot be written; then what was there is there still.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    made = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600 if private else 0o644)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
