"""The table of what was measured, as the README has it: a row a figure, the peers beside farm.

Apart from `report.py`, which says everything: here is what people ask first, in their words, and
nothing that tells whose machine it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.case import OWN
from benchmarks.runner import Outcome
from benchmarks.verdicts import NOT_HERE, Verdict, judge, median, with_unit

DIGITS = 3
"""That say anything: one run differs from another by more than the fourth."""

HEADER = """\
| measured | farm | beside it | farm : that | must be |
|---|---|---|---|---|"""


def markdown(
    outcomes: list[Outcome],
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
    *,
    remark: str = "",
) -> str:
    """A line on the machine and the run, the versions, the table, and what is missing in it.

    Args:
        outcomes: in the order of the rows.
        machine: as `machine.describe` has it.
        versions: of farm and its peers.
        remark: what else a reader must know of the run.
    """
    rows = "\n".join([HEADER, *(row for outcome in outcomes for row in _rows(outcome))])
    of = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = (_head(outcomes, machine, remark), f"Versions: {of}.", rows, _missing(outcomes))
    return "\n\n".join(filter(None, parts)) + "\n"


def figure(value: float, unit: str = "") -> str:
    """A figure with three digits that say something.

    Example:
        >>> figure(1234567, "/s")
        '1,230,000/s'
    """
    if not math.isfinite(value):
        return "very many times"
    rounded = float(f"{value:.{DIGITS}g}")
    whole = rounded >= 10 ** (DIGITS - 1)
    text = f"{rounded:,.0f}" if whole else f"{rounded:#.{DIGITS}g}"
    return with_unit(text, unit)


def _head(outcomes: list[Outcome], machine: Mapping[str, Any], remark: str) -> str:
    repeats = {one.case.name: len(one.found[OWN]) for one in outcomes if OWN in one.found}
    most = max(repeats.values(), default=0)
    fewer = ", ".join(f"{count} of `{name}`" for name, count in repeats.items() if count < most)
    return (
        f"{str(machine['date'])[:10]}, {machine['cores']} cores of {machine['cpu']}, "
        f"Linux {machine['kernel']}, Python {machine['python']}, a disk that takes "
        f"{machine['disk_mb_s']:,} MB/s written in order; medians of {most} "
        f"run{'s' if most > 1 else ''}{fewer and f' ({fewer})'}{remark and f'; {remark}'}:"
    )


def _rows(outcome: Outcome) -> Iterator[str]:
    """One of each figure that is judged or compared."""
    verdicts: dict[str, list[Verdict]] = {}
    for verdict in judge(outcome.case, outcome.found):
        verdicts.setdefault(verdict.metric, []).append(verdict)
    for metric, judged in verdicts.items():
        unit = outcome.case.units[metric]
        cells = (
            outcome.case.words[metric],
            figure(median(outcome.found[OWN], metric), unit),
            _stacked(_beside(one, unit) for one in judged),
            _stacked(figure(one.value) if one.than else "" for one in judged),
            _stacked(_limit(one) for one in judged),
        )
        yield f"| {' | '.join(cells)} |"


def _stacked(lines: Iterator[str]) -> str:
    """One below the other: each peer is on one line with its ratio and its limit."""
    return "<br>".join(lines)


def _beside(verdict: Verdict, unit: str) -> str:
    if verdict.beside is None:
        return ""
    source = verdict.source and f" ({NOT_HERE}: {verdict.source})"
    return f"{verdict.than} {figure(verdict.beside, unit)}{source}"


def _limit(verdict: Verdict) -> str:
    return f"{verdict.limit} (**missed**)" if verdict.kept is False else verdict.limit


def _missing(outcomes: list[Outcome]) -> str:
    """Without the reasons, which may name places of this machine: the report has them."""
    names = [f"{side} (`{one.case.name}`)" for one in outcomes for side in one.left_out]
    return f"Not measured in this run: {', '.join(names)}." if names else ""
