"""How the tasks of a simulated batch behave: how long they take, and what comes of them."""

from __future__ import annotations

import random
from dataclasses import dataclass

from farm.batch.spec import Options


@dataclass(frozen=True)
class Plan:
    """One batch.

    Args:
        total: its tasks.
        options: how they are run.
        by_value: whether its arguments are blocks.
        mean: seconds that a task takes, about.
        kinds: what becomes of those that do not simply succeed, by index: ``flaky`` (the first
            attempt fails), ``error`` (each does) or ``crash`` (each kills its slot).
    """

    total: int
    options: Options
    by_value: bool
    mean: float
    kinds: dict[int, str]

    def seconds(self, index: int) -> float:
        """How long a task takes."""
        return self.mean * (0.5 + (index * 7919 % 101) / 100)

    def kind(self, index: int, attempt: int) -> str:
        """What comes of an attempt: ``ok``, ``error`` or ``crash``."""
        kind = self.kinds.get(index, "ok")
        if kind == "flaky":
            return "error" if attempt == 1 else "ok"
        return kind


def make_plan(chance: random.Random) -> Plan:
    """A batch as the chance wills."""
    total = chance.choice([1, 2, 7, 20, 60, 200])
    rerun = chance.random() < 0.75
    retries = chance.choice([0, 1, 2]) if rerun else 0
    options = Options(
        retries=retries,
        priority=chance.choice([0, 0, 1]),
        delay=chance.choice([0.0, 0.0, 0.5, 3.0]),
        backoff=chance.choice([1.0, 2.0]),
        jitter=chance.choice([0.0, 0.1]),
        crash_limit=chance.choice([1, 2, 3]),
        max_failures=chance.choice([None, None, None, 3]),
        rerun=rerun,
        max_parallel=chance.choice([None, None, 1, 3]),
        rate=chance.choice([None, None, None, 20.0]),
    )
    odds = chance.choice([0.0, 0.02, 0.1])
    kinds = {
        index: chance.choice(["flaky", "flaky", "error", "crash"])
        for index in range(total)
        if chance.random() < odds
    }
    mean = chance.choice([0.002, 0.02, 0.2, 1.0]) if total <= 60 else chance.choice([0.002, 0.05])
    return Plan(total, options, chance.random() < 0.5, mean, kinds)
