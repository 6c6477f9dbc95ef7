"""The tasks of uneven length, and the least time that a list of them takes in order (pure)."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable

SHORTEST, LONGEST = 0.005, 2.0
"""Seconds."""

MEDIAN, SPREAD = 0.1, 1.1
"""Of the lengths before they are clipped: their median in seconds, and sigma of the logarithm."""

SEED = 20


def lengths(count: int) -> list[float]:
    """So many lengths in seconds: log-normal, clipped, the same ones in each run."""
    chance = random.Random(SEED)  # noqa: S311 - a seed repeats it
    drawn = (MEDIAN * chance.lognormvariate(0.0, SPREAD) for _ in range(count))
    return [round(min(LONGEST, max(SHORTEST, seconds)), 4) for seconds in drawn]


def greedy(seconds: Iterable[float], slots: int) -> float:
    """How long it takes if each slot that is free takes the next of the list, at no cost.

    This is list scheduling (Graham, Bounds on Multiprocessing Timing Anomalies, 1969).

    Args:
        seconds: of the tasks, in the order in which they are begun.
        slots: at least 1.

    Example:
        >>> greedy([3, 1, 1, 1, 2], 2)
        5
    """
    free = [0.0] * slots
    for length in seconds:
        heapq.heapreplace(free, free[0] + length)
    return max(free)
