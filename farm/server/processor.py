"""How much of a processor the server's loop asks for, from what the kernel counts."""

from __future__ import annotations

import time
from pathlib import Path

_COUNTED = Path("/proc/thread-self/schedstat")


def demand(counted: Path = _COUNTED) -> float:
    """Seconds for which this thread has run, or has waited for a processor.

    Beside other programs a server that is at its end gets but a part of a core: what it computed
    says little of what it had to do.

    Args:
        counted: nanoseconds of both (Documentation/scheduler/sched-stats in the kernel's sources).
    """
    try:
        ran, waited, _ = counted.read_text().split()
    except (OSError, ValueError):
        return time.thread_time()  # not Linux, or a kernel that does not count it
    return (int(ran) + int(waited)) / 1e9
