"""What the tasks of all sides do: it is imported by their processes, so it imports next to nothing.

Batch files name these functions too: this very file is shipped with them.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable


def inc(index: int) -> int:
    """The least that a task can do."""
    return index + 1


def packed(indices: Iterable[int]) -> bytes:
    """`inc` of each, in one task: their list, pickled.

    Dask passes a list on element by element, which takes it very many times as long.
    """
    return pickle.dumps([inc(index) for index in indices], pickle.HIGHEST_PROTOCOL)


def turned(data: bytes) -> bytes:
    """As many bytes as came, and others."""
    return data[::-1]


def nap(seconds: float) -> float:
    """Take some time and no CPU."""
    time.sleep(seconds)
    return seconds
