"""What the ledger keeps of each batch and node. Pure; only `farm.server.ledger` changes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options

Range = tuple[int, int]


@dataclass(slots=True)
class Share:
    """What one node did for a batch: tasks done, and seconds they took."""

    done: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Batch:
    """The state of one batch; changed by `Ledger` alone."""

    id: int
    total: int
    options: Options
    open: bool = False
    cancelled: bool = False
    pending: RangeSet = field(default_factory=RangeSet)
    done: RangeSet = field(default_factory=RangeSet)
    failed: RangeSet = field(default_factory=RangeSet)
    leased: dict[int, RangeSet] = field(default_factory=dict)
    running: int = 0
    busy: int = 0
    attempts: dict[int, int] = field(default_factory=dict)
    crashes: dict[int, int] = field(default_factory=dict)
    retried: int = 0
    mean: float = 0.0
    seconds: float = 0.0
    shares: dict[str, Share] = field(default_factory=dict)
    entry: tuple[int, int, int] | None = None

    @property
    def dropped(self) -> int:
        """Tasks that were cancelled before they had an outcome."""
        if not self.cancelled:
            return 0
        return self.total - self.done.count - self.failed.count

    @property
    def ended(self) -> bool:
        """Whether no further outcome will be recorded."""
        if self.cancelled:
            return True
        return not self.open and self.done.count + self.failed.count == self.total

    @property
    def state(self) -> str:
        """The word that people see."""
        if self.cancelled:
            return "cancelled"
        if self.ended:
            return "failed" if self.failed else "done"
        return "running" if self.running or self.done or self.failed else "waiting"

    def owes(self, start: int, stop: int) -> list[Range]:
        """What of ``[start, stop)`` has no outcome yet, whoever holds it."""
        if self.cancelled:
            return []
        rest = RangeSet([(start, min(stop, self.total))] if start < min(stop, self.total) else [])
        for recorded in (self.done, self.failed):
            for known in recorded.intersection(start, stop):
                rest.discard(*known)
        return list(rest)


@dataclass(slots=True)
class Node:
    """A node that is connected, or owes something."""

    id: int
    name: str
    slots: int
    batches: set[int] = field(default_factory=set)


def outside(part: Range, kept: RangeSet) -> list[Range]:
    """What of ``part`` is not in ``kept``."""
    rest = RangeSet([part])
    for known in kept.intersection(*part):
        rest.discard(*known)
    return list(rest)
