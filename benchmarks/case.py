"""What a case is: what is measured of which sides, and what must come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OWN = "farm"
"""The side that is judged: the first of each case."""

WARM = 100
"""Tasks that each side runs before anything is measured."""

Measured = dict[str, float]
"""What one measurement gave, by metric."""


class AbsentError(Exception):
    """A side cannot be measured here; the message says why."""


class WrongError(Exception):
    """What a side computed is not right: it must not be measured."""


@dataclass(frozen=True)
class Plan:
    """What one measurement is told.

    Args:
        directory: empty, its own, removed afterwards.
        scale: the share of the full size.
        huge: tasks of the case of that name.
    """

    directory: Path
    scale: float = 1.0
    huge: int = 100_000_000

    def of(self, full: int, least: int = 1) -> int:
        """A size at this scale."""
        return max(min(least, full), round(full * self.scale))


Run = Callable[[Plan], Measured]

Map = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""Calls a function once for each item, each as a task of its own; the results in order."""


@dataclass(frozen=True)
class Elsewhere:
    """A figure that was not measured in this run.

    Args:
        value: in the unit of the metric.
        source: where and when it was measured, as the report says it.
    """

    value: float
    source: str


@dataclass(frozen=True)
class Must:
    """What farm's median must be: a figure, or its ratio to the same figure of another side.

    Args:
        metric: of farm.
        than: the other side; empty if the figure itself is judged.
        least, most: the limit; at least one where something must be.
        aim: what would be good, which nothing fails for.
        elsewhere: what stands for the other side where it was not measured.
    """

    metric: str
    than: str = ""
    least: float | None = None
    most: float | None = None
    aim: float | None = None
    elsewhere: Elsewhere | None = None


@dataclass(frozen=True)
class Case:
    """One group of figures.

    Args:
        name: as ``--only`` takes it.
        title: what is measured, in one line.
        units: of the metrics, in the order of the lines.
        words: what was measured, for those who read the table; of each metric that is judged.
        sides: how each is measured; farm first.
        musts: what must come out.
        repeats: how often each side is measured, unless the command line says.
    """

    name: str
    title: str
    units: Mapping[str, str]
    words: Mapping[str, str]
    sides: Mapping[str, Run]
    musts: tuple[Must, ...] = ()
    repeats: int = 3
