"""What comes of a case: medians, ratios within each repeat, and whether limits were kept (pure)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.case import OWN, Case, Measured, Must

Found = Mapping[str, Sequence[Measured]]
"""What each side measured, one entry a repeat."""


NOT_HERE = "not measured here"
"""Of a figure that stands for one."""


@dataclass(frozen=True)
class Verdict:
    """A figure or ratio of farm beside its limit.

    Args:
        metric: of farm.
        than: the side whose figure farm's is divided by; empty for none.
        beside: that figure; None if the value is farm's own.
        source: where that figure is from, if it was not measured in this run.
        value: the figure or the ratio.
        limit: what must be, and what would be good, as people read it.
        kept: None where nothing must be.
    """

    metric: str
    than: str
    beside: float | None
    source: str
    value: float
    limit: str
    kept: bool | None

    @property
    def what(self) -> str:
        """What was judged."""
        if not self.than:
            return f"{OWN}, {self.metric}"
        elsewhere = self.source and f" ({self.beside:g}, {NOT_HERE}: {self.source})"
        return f"{OWN} / {self.than}{elsewhere}, {self.metric}"


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
            verdicts.append(_verdict(must, found, value, case.units[must.metric]))
    return verdicts


def _verdict(must: Must, found: Found, value: float, unit: str) -> Verdict:
    limit = _limit(must, "" if must.than else unit)  # a ratio has no unit
    beside, source = _beside(must, found), _source(must, found)
    return Verdict(must.metric, must.than, beside, source, value, limit, _kept(must, value))


def _value(must: Must, found: Found) -> float | None:
    if not must.than:
        return median(found[OWN], must.metric)
    if must.than in found:
        return ratio(found[OWN], found[must.than], must.metric)
    if must.elsewhere is not None:
        return median(found[OWN], must.metric) / must.elsewhere.value
    return None


def _beside(must: Must, found: Found) -> float | None:
    if must.than in found:
        return median(found[must.than], must.metric)
    return must.elsewhere.value if must.elsewhere else None


def _source(must: Must, found: Found) -> str:
    return "" if must.elsewhere is None or must.than in found else must.elsewhere.source


def with_unit(figure: str, unit: str) -> str:
    """A figure as people write it."""
    return figure + ("" if unit in ("", "/s", "%") else " ") + unit


def _limit(must: Must, unit: str) -> str:
    limits = (("at least", must.least), ("at most", must.most), ("aim", must.aim))
    return ", ".join(
        f"{word} {with_unit(f'{round(limit, 3):,g}', unit)}"
        for word, limit in limits
        if limit is not None
    )


def _kept(must: Must, value: float) -> bool | None:
    if must.least is None and must.most is None:
        return None
    above = must.least is None or value >= must.least
    return above and (must.most is None or value <= must.most)
