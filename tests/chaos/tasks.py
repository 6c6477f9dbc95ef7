"""The tasks that are counted. Shipped with the batches, so that nothing here may import more."""

from __future__ import annotations

import os
import time

_files: dict[str, int] = {}


def nap(index: int, directory: str, seconds: float) -> int:
    """Count the execution, sleep, and return what can be checked."""
    count(index, directory)
    time.sleep(seconds)
    return value(index)


def sleep(index: int, directory: str, shortest: float, longest: float) -> int:
    """Like `nap`, with another duration for each index, spread evenly by the golden ratio."""
    count(index, directory)
    time.sleep(shortest + (longest - shortest) * (index * 0.618034 % 1.0))
    return value(index)


def count(index: int, directory: str) -> None:
    """Append the index to this process's file: 8 bytes, which no SIGKILL can divide or take back.

    The process's file is named by its pid, so that the directory also tells which processes have
    run tasks.
    """
    if directory not in _files:
        path = os.path.join(directory, str(os.getpid()))  # noqa: PTH118 - slots import little
        _files[directory] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(_files[directory], index.to_bytes(8, "little"))


def value(index: int) -> int:
    """The result of a task."""
    return index * index + 7
