"""Directories for one process's own use, removed when it ends, or when the next one starts."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def scratch_directory(name: str) -> Iterator[Path]:
    """A directory that only this user can enter, named after this process.

    Those of processes that were killed before they could remove theirs are removed first.

    Args:
        name: what its name begins with, such as ``farm-node``.
    """
    _sweep(name)
    path = Path(tempfile.mkdtemp(prefix=f"{name}-{os.getpid()}-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _sweep(name: str) -> None:
    if os.name != "posix":
        return  # there is no harmless way to ask for a process
    for path in Path(tempfile.gettempdir()).glob(f"{name}-*"):
        owner = re.fullmatch(rf"{re.escape(name)}-(\d+)-\w+", path.name)
        if owner and not _is_alive(int(owner[1])) and _is_own(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True


def _is_own(path: Path) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_uid == os.geteuid()
    except OSError:
        return False  # gone meanwhile
