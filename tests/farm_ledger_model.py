"""A naive model of the ledger: one word a task, every question answered by looking at all of them.

What `farm.server.ledger` does with ranges, heaps and counters is compared with this.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.server.again import ELSEWHERE_SECONDS
from farm.server.pace import BURST_SECONDS

OVER = ("done", "failed", "dropped")
NEVER = float("inf")


def ranges_of(indices: list[int]) -> list[tuple[int, int]]:
    """Indices as ranges in order."""
    return list(RangeSet((index, index + 1) for index in indices))


def indices_of(ranges: list[tuple[int, int]]) -> list[int]:
    """Ranges as indices."""
    return [index for start, stop in ranges for index in range(start, stop)]


@dataclass
class NaiveTask:
    """``where`` is ``pending``, ``again``, a node's id, or the word of an outcome.

    ``elsewhere`` and ``at_last`` are until when the node ``avoid`` does not get it for sure, and
    from when on it is to get it for sure.
    """

    where: str | int = "pending"
    attempts: int = 0
    errors: int = 0
    crashes: int = 0
    due: float = 0.0
    avoid: str = ""
    elsewhere: float = 0.0
    at_last: float = 0.0

    def wait(self, due: float, avoid: str) -> None:
        """It failed, and is to be tried again."""
        self.where, self.due, self.avoid = "again", due, avoid
        self.elsewhere = self.at_last = due + ELSEWHERE_SECONDS

    def may_go(self, node: str, now: float, *, alone: bool) -> bool:
        """Whether the node is allowed to get it."""
        if self.where == "again":
            return self.due <= now and (alone or self.avoid != node or now >= self.elsewhere)
        return self.where == "pending"

    def must_go(self, node: str, now: float, *, alone: bool) -> bool:
        """Whether it would be wrong to say that there is nothing for the node."""
        late = self.avoid == node and not alone and now < self.at_last
        return self.may_go(node, now, alone=alone) and not (self.where == "again" and late)


@dataclass
class NaiveBatch:
    """One batch."""

    total: int
    options: Options
    open: bool = False
    paused: bool = False
    cancelled: bool = False
    since: float = 0.0
    retried: int = 0
    tasks: list[NaiveTask] = field(default_factory=list)
    begun: list[tuple[float, int]] = field(default_factory=list)
    once: set[int] = field(default_factory=set)  # leased, not given back by a node that lives

    def __post_init__(self) -> None:
        self.tasks = [NaiveTask() for _ in range(self.total)]

    def all(self, *places: str | int) -> list[int]:
        """The indices that are in one of the places."""
        return [index for index, task in enumerate(self.tasks) if task.where in places]

    @property
    def running(self) -> int:
        """Tasks that are leased."""
        return sum(isinstance(task.where, int) for task in self.tasks)

    @property
    def ended(self) -> bool:
        """Whether all of it has an outcome."""
        return not self.open and all(task.where in OVER for task in self.tasks)

    @property
    def is_broken(self) -> bool:
        """Whether more has failed than the batch allows."""
        options, failed = self.options, len(self.all("failed"))
        if options.max_failures is not None and failed > options.max_failures:
            return True
        share = options.max_failure_share
        return share is not None and not self.open and failed > share * len(self.tasks)

    def failed(self, task: NaiveTask, kind: str) -> bool:
        """Count a failed attempt; whether there is to be another."""
        task.attempts += 1
        if not self.options.rerun or kind == "lost":
            return False
        if kind == "crash":
            task.crashes += 1
            return task.crashes < self.options.crash_limit
        task.errors += 1
        return task.errors <= self.options.retries

    @property
    def strict(self) -> bool:
        """Whether only idle slots get something."""
        options = self.options
        return bool(options.rate or options.max_parallel or not options.rerun)

    @property
    def burst(self) -> float:
        """Tasks that may begin at once after a while without any."""
        return max(1.0, (self.options.rate or 0.0) * BURST_SECONDS)

    def tokens(self, now: float) -> float:
        """How many tasks the rate allows to begin, all that have begun being looked at again."""
        left, at = 1.0, self.since
        for when, count in self.begun:
            left, at = min(self.burst, left + (when - at) * self.options.rate) - count, when
        return min(self.burst, left + (now - at) * self.options.rate)

    def room(self, now: float) -> int:
        """How many tasks the limits let begin."""
        if self.paused:
            return 0
        room = len(self.tasks)
        if self.options.max_parallel is not None:
            room = min(room, self.options.max_parallel - self.running)
        if self.options.rate is not None:
            room = min(room, int(self.tokens(now) + 1e-9))
        return max(0, room)

    def count_for(self, node: str, now: float, *, alone: bool, idle: int) -> tuple[int, int]:
        """At least and at most so many tasks are there for a node, if it asks for enough."""
        bound = min(self.room(now), idle if self.strict else len(self.tasks))
        must = sum(task.must_go(node, now, alone=alone) for task in self.tasks)
        may = sum(task.may_go(node, now, alone=alone) for task in self.tasks)
        return min(must, bound), min(may, bound)

    def times(self, now: float) -> list[float]:
        """When time alone may change what there is for a node."""
        again = [self.tasks[index] for index in self.all("again")]
        found = [when for task in again for when in (task.due, task.at_last)]
        if self.options.rate is not None:
            # With a high rate it is worth waiting for several at once.
            wanted = max(1.0, self.burst / 4)
            found.append(now + max(0.001, (wanted - self.tokens(now)) / self.options.rate))
        return sorted(when for when in found if when > now)

    def resumed(self, now: float) -> None:
        """What waited for another node could not be given to one for a while."""
        for index in self.all("again"):
            task = self.tasks[index]
            task.at_last = max(task.at_last, now + ELSEWHERE_SECONDS)

    def check_pace(self) -> None:
        """In no stretch of time have more begun than the rate allows."""
        for first, (since, _) in enumerate(self.begun):
            begun = 0
            for when, count in self.begun[first:]:
                begun += count
                assert begun <= self.options.rate * (when - since) + self.burst + 1e-6
