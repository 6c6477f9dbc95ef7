"""What the tasks of all sides do: it is imported by their processes, so it imports next to nothing.

Batch files name these functions too: this very file is shipped with them.
"""

from __future__ import annotations

import time


def inc(index: int) -> int:
    """The least that a task can do."""
    return index + 1


def turned(data: bytes) -> bytes:
    """As many bytes as came, and others."""
    return data[::-1]


def nap(seconds: float) -> float:
    """Take some time and no CPU."""
    time.sleep(seconds)
    return seconds
