"""Where the fork server of `multiprocessing` has its socket: in a directory with a short path.

It would lie in the directory for temporary files, whatever that is called; but a system takes no
more than about a hundred bytes for a socket's path (``sun_path`` in unix(7)).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from multiprocessing import util

from farm.engines.base import EngineError

MAX_PATH = 103
"""Bytes of a socket's path, of all systems the fewest: macOS has 104 with the zero at the end."""

_BELOW = len("/listener-12345678")
_OWN = len("/pymp-12345678")

SHORT = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a new directory of this user alone is made


def have_short_paths() -> None:
    """See that sockets of `multiprocessing` fit where this process will put them.

    The process's own directory for temporary files, and that of tasks, stays what it is.

    Raises:
        EngineError: there is no place for them.
    """
    if not _fits(tempfile.gettempdir(), _OWN + _BELOW):
        for directory in SHORT:
            with contextlib.suppress(OSError), _temporary_files_in(directory):
                util.get_temp_dir()  # made once for a process, and removed at its end
                break
        if not _fits(util.get_temp_dir(), _BELOW):
            raise EngineError(
                f"the path {tempfile.gettempdir()} is too long for the sockets that slots are "
                f"started by: set TMPDIR to another one of at most {MAX_PATH - _OWN - _BELOW} bytes"
            )


def _fits(directory: str, more: int) -> bool:
    return len(os.fsencode(directory)) + more <= MAX_PATH


@contextlib.contextmanager
def _temporary_files_in(directory: str) -> Iterator[None]:
    before = tempfile.tempdir
    tempfile.tempdir = directory
    try:
        yield
    finally:
        tempfile.tempdir = before
