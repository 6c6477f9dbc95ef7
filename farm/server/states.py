"""What the ledger keeps of each batch and node, and answers. Pure; only the ledger changes it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.server.again import Again
from farm.server.pace import Pace

Range = tuple[int, int]


@dataclass(slots=True)
class Share:
    """What one node did for a batch: tasks done, and seconds they took."""

    done: int = 0
    seconds: float = 0.0


_LEAST_MEAN = 1e-9  # seconds; 0 would say that nothing is known
_MEAN_WEIGHT = 0.3  # of the newest part in the running mean of a batch's task time

MAX_SHARES = 1_000
OTHERS = "others"
"""Nodes of a batch that are told apart, and the name of all further ones together."""


@dataclass(slots=True)
class Batch:
    """The state of one batch; changed by `Ledger` alone.

    Each index is in exactly one place: ``pending`` (to be leased), ``again`` (to be tried again),
    ``leased`` to one node, ``done``, ``failed`` or ``dropped`` (cancelled).
    """

    id: int
    total: int
    options: Options
    open: bool = False
    paused: bool = False
    cancelled: bool = False
    pending: RangeSet = field(default_factory=RangeSet)
    again: Again = field(default_factory=Again)
    leased: dict[int, RangeSet] = field(default_factory=dict)
    done: RangeSet = field(default_factory=RangeSet)
    failed: RangeSet = field(default_factory=RangeSet)
    dropped: RangeSet = field(default_factory=RangeSet)
    running: int = 0
    busy: int = 0
    attempts: dict[int, int] = field(default_factory=dict)  # failed ones, all of them
    errors: dict[int, int] = field(default_factory=dict)  # those that `retries` counts
    crashes: dict[int, int] = field(default_factory=dict)  # those that `crash_limit` counts
    marks: dict[int, set[str]] = field(default_factory=dict)  # of the failures that were heard
    retried: int = 0
    repeated: int = 0
    spared: int = 0  # failures that are about to be taken back, and do not count meanwhile
    mean: float = 0.0
    seconds: float = 0.0
    shares: dict[str, Share] = field(default_factory=dict)
    pace: Pace | None = None
    entry: tuple[int, int, int] | None = None  # its place in the schedule
    timed: float | None = None  # when the schedule looks at it again
    strict: bool = field(init=False)
    """Whether no task may be leased before a slot is idle for it.

    What waits on a node would count as begun, and take the place of one that could.
    """
    binding: bool = field(init=False)
    """Whether its leases are journalled, because nobody else may be given them in between.

    They outlive the server: what must not run twice may have begun, and what may only run so many
    times at once still runs on nodes that have not come back yet.
    """

    def __post_init__(self) -> None:
        options = self.options
        self.binding = not options.rerun or options.max_parallel is not None
        self.strict = self.binding or options.rate is not None

    @property
    def waiting(self) -> int:
        """Tasks that nobody has."""
        return self.pending.count + self.again.count

    @property
    def ended(self) -> bool:
        """Whether no further outcome will be recorded."""
        if self.open:
            return False
        return self.done.count + self.failed.count + self.dropped.count == self.total

    @property
    def state(self) -> str:
        """The word that people see."""
        if self.ended:
            if self.cancelled:
                return "cancelled"
            return "failed" if self.failed else "done"
        if self.paused:
            return "paused"
        return "running" if self.running or self.done or self.failed else "waiting"

    @property
    def is_broken(self) -> bool:
        """Whether more tasks have failed than the batch allows.

        A share is one of all tasks, so that it is known once the batch grows no more.
        """
        options, failed = self.options, self.failed.count - self.spared
        if options.max_failures is not None and failed > options.max_failures:
            return True
        share = options.max_failure_share
        return share is not None and not self.open and failed > share * self.total

    def learn(self, seconds: float) -> float:
        """How long each of some tasks took, as it came in; no less than what can be."""
        mean = max(seconds, _LEAST_MEAN)
        self.mean += (mean - self.mean) * (_MEAN_WEIGHT if self.mean else 1.0)
        return mean

    def share_of(self, node: str) -> Share:
        """What a node has done of it, to be added to."""
        if node not in self.shares and len(self.shares) >= MAX_SHARES:
            node = OTHERS
        return self.shares.setdefault(node, Share())

    def has_heard(self, index: int, mark: str) -> bool:
        """Whether a failure of a task was counted already."""
        return mark in self.marks.get(index, ())

    def owes(self, start: int, stop: int) -> list[Range]:
        """What of ``[start, stop)`` has no outcome yet and is wanted, whoever holds it."""
        stop = min(stop, self.total)
        if start >= stop:
            return []
        over = [
            part
            for recorded in (self.done, self.failed, self.dropped)
            if recorded
            for part in recorded.intersection(start, stop)
        ]
        return list(RangeSet([(start, stop)]) - RangeSet(over)) if over else [(start, stop)]


@dataclass(slots=True)
class Node:
    """A node that is connected, or owes something; ``heard`` is when it last was."""

    id: int
    name: str
    slots: int
    heard: float
    draining: bool = False
    batches: set[int] = field(default_factory=set)

    @property
    def able(self) -> bool:
        """Whether it could take a task that another node failed at.

        Plain clients that work have negative ids; they take single calls of the queue alone.
        """
        return self.id > 0 and not self.draining


class Verdict(enum.Enum):
    """What becomes of a failed attempt."""

    RETRY = "retry"
    FINAL = "final"
    DROPPED = "dropped"


class Grant(msgspec.Struct, frozen=True):
    """A lease that was just made."""

    batch: int
    ranges: list[Range]
    mean: float
    pace: float = 0.0


def size_of(ranges: Iterable[Range]) -> int:
    """How many indices there are in disjoint ranges."""
    return sum(stop - start for start, stop in ranges)
