"""What the nodes of a process have seen in a while. Pure."""

from __future__ import annotations

import array
import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


def _floats() -> array.array[float]:
    return array.array("f")


@dataclass
class Tally:
    """Calls, and how long the server took for them, in seconds; it travels between processes."""

    leases: array.array[float] = field(default_factory=_floats)
    """Of each lease: from the `Want` that it answers."""
    reports: array.array[float] = field(default_factory=_floats)
    """Of each report: until its `Done`."""
    tasks: int = 0
    """In the reports that are acknowledged."""
    calls: int = 0
    """Messages to the server, of whatever kind."""
    beats: int = 0
    """Of these, heartbeats."""
    joined: int = 0
    beating: int = 0
    """Nodes that have joined, and those whose heartbeat is connected as well; since the start."""
    lost: int = 0
    """Connections that the server has closed, or that could not be made; since the start."""
    began: float = math.inf
    complete: float = 0.0
    """When the first node began to connect, and when the last one had both connections, in seconds
    of `time.monotonic`, which on one machine is the same for all processes."""
    cpu: list[float] = field(default_factory=list)
    """Seconds of a core, of each process, since the first node began to connect."""

    def anew(self) -> Tally:
        """The next one: what counts since the start goes on."""
        return dataclasses.replace(
            self, leases=_floats(), reports=_floats(), tasks=0, calls=0, beats=0, cpu=[]
        )


def summed(tallies: Iterable[Tally]) -> Tally:
    """Those of several processes, as one."""
    total = Tally()
    for tally in tallies:
        total.leases += tally.leases
        total.reports += tally.reports
        for name in ("tasks", "calls", "beats", "joined", "beating", "lost", "cpu"):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
        total.began = min(total.began, tally.began)
        total.complete = max(total.complete, tally.complete)
    return total


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of them lies (the nearest rank); 0 where there is none.

    Example:
        >>> percentile([3.0, 1.0, 2.0], 0.5)
        2.0
    """
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[min(len(ordered), max(1, rank)) - 1]
