"""Opens files that somebody else may have made, in a directory that came from elsewhere.

Apart from `open` because a FIFO that lies in the place of a file would be waited for without end,
and a device might never end.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # a FIFO is opened without waiting for its writer
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_NO_FILE = "it is not a regular file"


def open_regular(path: Path) -> BinaryIO:
    """A file to read bytes from; never waits.

    Raises:
        OSError: it cannot be read, or is a FIFO, a device, a socket or a directory.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device that is not there
            raise OSError(errno.ENXIO, _NO_FILE, str(path)) from error
        raise
    try:
        # What was opened is what is looked at: the name may have another file by now.
        check_regular(path, os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path) -> bytes:
    """All that is in a file.

    Raises:
        OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        return file.read()


def check_regular(path: Path, status: os.stat_result) -> None:
    """See that it is a regular file that has this status.

    Raises:
        OSError: it is not.
    """
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, _NO_FILE, str(path))
