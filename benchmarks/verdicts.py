"""What comes of a case: medians, ratios within each repeat, and whether limits were kept (pure)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.case import OWN, Case, Measured, Must

Found = Mapping[str, Sequence[Measured]]
"""What each side measured, one entry a repeat."""


@dataclass(frozen=True)
class Verdict:
    """A figure or ratio of farm beside its limit.

    Args:
        metric: of farm.
        than: the side whose figure farm's is divided by, as people read it; empty for none.
        value: the figure or the ratio.
        limit: what must be, and what would be good, as people read it.
        kept: None where nothing must be.
    """

    metric: str
    than: str
    value: float
    limit: str
    kept: bool | None

    @property
    def what(self) -> str:
        """What was judged."""
        return f"{OWN} / {self.than}, {self.metric}" if self.than else f"{OWN}, {self.metric}"


def median(found: Sequence[Measured], metric: str) -> float:
    """The median of one metric over the repeats."""
    return statistics.median(one[metric] for one in found)


def ratio(own: Sequence[Measured], other: Sequence[Measured], metric: str) -> float:
    """The median of the ratios of the repeats.

    A repeat measures both sides right after one another, so that a machine that is slow for a
    while is so for both.
    """
    pairs = zip(own, other, strict=True)
    return statistics.median(_divided(one[metric], two[metric]) for one, two in pairs)


def _divided(one: float, two: float) -> float:
    return one / two if two else math.inf


def judge(case: Case, found: Found) -> list[Verdict]:
    """Every verdict that what was found allows: none about a side that is not there."""
    if OWN not in found:
        return []
    verdicts = []
    for must in case.musts:
        value = _value(must, found)
        if value is not None:
            than = _than(must, found)
            verdicts.append(Verdict(must.metric, than, value, _limit(must), _kept(must, value)))
    return verdicts


def _value(must: Must, found: Found) -> float | None:
    if not must.than:
        return median(found[OWN], must.metric)
    if must.than in found:
        return ratio(found[OWN], found[must.than], must.metric)
    if must.published is not None:
        return median(found[OWN], must.metric) / must.published
    return None


def _than(must: Must, found: Found) -> str:
    if not must.than or must.than in found:
        return must.than
    return f"{must.than} (published: {must.published:g})"


def _limit(must: Must) -> str:
    least = "" if must.least is None else f"at least {must.least:.4g}"
    most = "" if must.most is None else f"at most {must.most:.4g}"
    aim = "" if must.aim is None else f"aim {must.aim:.4g}"
    return ", ".join(filter(None, (least, most, aim)))


def _kept(must: Must, value: float) -> bool | None:
    if must.least is None and must.most is None:
        return None
    above = must.least is None or value >= must.least
    return above and (must.most is None or value <= must.most)
