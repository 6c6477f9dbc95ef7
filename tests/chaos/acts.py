"""The two acts: one in which nothing may run twice, and one in which everything is harmed."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from chaos.batches import Counted
from chaos.faults import Faults
from chaos.processes import BrokenError, Farm
from chaos.proxy import Trap, Way
from farm.errors import UnknownBatchError

ANSWER_SECONDS = 10.0
JITTER_SECONDS = 0.3
NAP_SECONDS = 0.001
SMALL_TOTAL = 20
BALLAST = 4_000_000
"""Bytes of a batch that is acknowledged under fire: writing them takes so long that an answer
which does not wait for it is caught."""

Plan = Mapping[str, int]
"""How often each kind of harm is done."""


@dataclass(frozen=True)
class Scale:
    """How much.

    Args:
        first: tasks of the first act.
        nap: seconds that each of them takes.
        submissions: how often in the first act the server dies as it takes a batch.
        first_plan: the other harm of the first act.
        short: short tasks of the second act.
        long: its tasks of 0.1 to 1 s.
        plans: its harm, one plan after the other, each in random order.
        patience: seconds without any progress after which it is taken that there will be none.
    """

    first: int
    nap: float
    submissions: int
    first_plan: Plan
    short: int
    long: int
    plans: Sequence[Plan]
    patience: float = 45.0


@dataclass
class Stage:
    """A farm, and what is done to it.

    Args:
        farm: to be harmed.
        chance: what is random.
        scale: how much.
        seconds: the bound of it all.
        say: tells a person how it goes.
    """

    farm: Farm
    chance: random.Random
    scale: Scale
    seconds: float
    say: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    once: list[Counted] = field(default_factory=list)
    """Batches whose tasks run once."""
    often: list[Counted] = field(default_factory=list)
    """Batches whose tasks run at least once."""

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.seconds
        self._watcher = self.farm.session(self.farm.client)
        self._desk = self.farm.session(self.farm.desk)

    def close(self) -> None:
        """Close the sessions."""
        self._watcher.close()
        self._desk.close()

    @property
    def batches(self) -> list[Counted]:
        """All of them."""
        return [*self.once, *self.often]

    def _submit(self, name: str, task: str, total: int, given: Mapping[str, float]) -> Counted:
        counted = Counted(self._desk, self.farm.directory, name, task, total, given)
        counted.watch(self._watcher.batch(counted.id))
        return counted

    # -- the acts -----------------------------------------------------------------------------

    def nothing_twice(self) -> None:
        """One node, of which only the connections are harmed, and the server.

        What a node did is then never lost: it outlives the server, keeps what is not
        acknowledged, and presents what it holds. What is acknowledged is journalled. So no task
        may run a second time; if one does, either of them has forgotten something.
        """
        self.say("one node; the server and connections are harmed: no task may run twice")
        self.farm.start_node("a")
        main = self._submit("once", "nap", self.scale.first, {"seconds": self.scale.nap})
        self.once.append(main)
        faults = Faults(self.farm, self.chance, [main], self.counts)
        plan = self._shuffled(self.scale.first_plan, {"": self.scale.submissions})
        self._harm(faults, plan, [main])
        self._finish(faults, self.once)

    def everything(self) -> None:
        """Two nodes and two batches, and every kind of harm."""
        self.say("two nodes; everything is harmed")
        self.farm.start_node("b")
        short = self._submit("short", "nap", self.scale.short, {"seconds": NAP_SECONDS})
        self.often.append(short)
        lasts = {"shortest": 0.1, "longest": 1.0}
        self.often.append(self._submit("long", "sleep", self.scale.long, lasts))
        faults = Faults(self.farm, self.chance, self.often, self.counts)
        plan = [kind for plan in self.scale.plans for kind in self._shuffled(plan)]
        self._harm(faults, plan, self.often)
        self._finish(faults, self.often)

    def _shuffled(self, *plans: Plan) -> list[str]:
        chosen = [kind for plan in plans for kind, count in plan.items() for _ in range(count)]
        self.chance.shuffle(chosen)
        return chosen

    def _harm(self, faults: Faults, plan: list[str], watched: Sequence[Counted]) -> None:
        """Do what is planned, spread evenly over the progress of batches."""
        marks = len(plan) + 1
        while plan:
            mark = (marks - len(plan)) / marks
            self._until(faults, lambda mark=mark: _progress(watched) >= mark)  # type: ignore[misc]
            time.sleep(self.chance.uniform(0.0, JITTER_SECONDS))
            kind = self._first_possible(faults, plan)
            if kind is None:
                time.sleep(0.05)
                faults.heal()
            else:
                plan.remove(kind)
                self.say(f"{_progress(watched):4.0%} {kind or 'server killed as it takes a batch'}")

    def _first_possible(self, faults: Faults, plan: Sequence[str]) -> str | None:
        for kind in dict.fromkeys(plan):
            if faults.do(kind) if kind else self._submit_under_fire():
                return kind
        return None

    def _submit_under_fire(self) -> bool:
        """SIGKILL to the server with the acknowledgement of a batch on its way."""
        self._desk.batches(1)  # a connection that has to be made anew would spring the trap
        server = self.farm.server
        trap = Trap(Way.DOWN, spring=lambda: server.send(signal.SIGKILL))
        self.farm.desk.set(trap)
        name = f"small{len(self.once)}"
        given = {"seconds": NAP_SECONDS}
        pool = ThreadPoolExecutor(1)
        submitting = pool.submit(
            Counted, self._desk, self.farm.directory, name, "nap", SMALL_TOTAL, given, BALLAST
        )
        pool.shutdown(wait=False)  # the thread ends with its session at the latest
        trap.sprung.wait(ANSWER_SECONDS)
        self.farm.desk.disarm()
        self.farm.serve_again()
        try:
            small = submitting.result(ANSWER_SECONDS)
        except TimeoutError as error:
            raise BrokenError(f"{name} was not acknowledged in {ANSWER_SECONDS:g} s") from error
        try:
            found = self._watcher.batch(small.id)
            if found.name != name:
                raise BrokenError(f"batch {small.id} was {name!r} and is {found.name!r} now")
        except UnknownBatchError as error:
            raise BrokenError(f"{name} was acknowledged as batch {small.id}: {error}") from error
        small.watch(found)
        self.once.append(small)
        self.counts["server killed as it takes a batch"] += 1
        return True

    # -- waiting ------------------------------------------------------------------------------

    def _finish(self, faults: Faults, batches: Sequence[Counted]) -> None:
        self._until(faults, lambda: all(batch.over for batch in batches) and faults.heal())

    def _until(self, faults: Faults, happened: Callable[[], bool]) -> None:
        """Wait for something while batches go on."""
        seen, since = -1, time.monotonic()
        while not happened():
            faults.heal()
            self.farm.check()
            for batch in self.batches:
                if batch.trouble is not None:
                    raise BrokenError(f"{batch.name}: the client was told: {batch.trouble}")
            now = time.monotonic()
            if (count := sum(len(batch.seen) for batch in self.batches)) != seen:
                seen, since = count, now
            if now - since > self.scale.patience:
                missing = ", ".join(
                    f"{batch.total - len(batch.seen)} of {batch.name}" for batch in self.batches
                )
                raise BrokenError(f"nothing came for {now - since:.0f} s; missing: {missing}")
            if now > self._deadline:
                raise BrokenError(f"not done within {self.seconds:g} s")
            time.sleep(0.01)


def _progress(batches: Sequence[Counted]) -> float:
    return sum(batch.watched for batch in batches) / len(batches)
