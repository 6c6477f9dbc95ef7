"""What was measured, for people: lines as they come, a table in Markdown, and JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.case import OWN
from benchmarks.runner import Outcome
from benchmarks.verdicts import Verdict, judge

FORMAT = 1
"""Of the JSON document; raised by any change that a reader could not know."""

WIDE = 44
"""Characters of a line's label."""


def shown(value: float) -> str:
    """A figure with three digits or more, as people write it."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if value < 100 else f"{value:.0f}"


def word(verdict: Verdict) -> str:
    """Whether a limit was kept; nothing where there is none."""
    return "" if verdict.kept is None else "ok" if verdict.kept else "MISSED"


def lines(outcome: Outcome) -> Iterator[str]:
    """A case: every figure of every side, the verdicts, what was left out."""
    case = outcome.case
    yield f"{case.name}: {case.title}"
    verdicts = judge(case, outcome.found)
    own = {one.metric: _verdict(one) for one in verdicts if not one.than}
    for side, metric, unit, values in figures(outcome):
        notes = [own[metric]] if side == OWN and metric in own else []
        if len(values) > 1:
            notes.append(f"{shown(min(values))} to {shown(max(values))} in {len(values)} runs")
        yield _line(f"{side}, {metric}", statistics.median(values), unit, notes)
    for one in verdicts:
        if one.than:
            yield _line(one.what, one.value, "", [_verdict(one)])
    for side, why in outcome.left_out.items():
        yield f"  {side} is left out: {why}"


def _line(label: str, value: float, unit: str, notes: list[str]) -> str:
    beside = "; ".join(filter(None, notes))
    return f"  {label:{WIDE}} {shown(value):>12} {unit:4} {beside and f'({beside})'}".rstrip()


def _verdict(verdict: Verdict) -> str:
    return ": ".join(filter(None, (verdict.limit, word(verdict))))


def figures(outcome: Outcome) -> Iterator[tuple[str, str, str, list[float]]]:
    """Each side, metric and unit, with the values of all repeats."""
    for side, found in outcome.found.items():
        for metric, unit in outcome.case.units.items():
            if metric in found[0]:
                yield side, metric, unit, [one[metric] for one in found]


def head(machine: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """The machine and the versions, in two lines."""
    load = " ".join(map(str, machine["load"]))
    return (
        f"{machine['date']}: {machine['cpu']}, {machine['cores']} cores usable, "
        f"{machine['memory_gb']:g} GB, {machine['filesystem']} that takes "
        f"{machine['disk_mb_s']} MB/s, Linux {machine['kernel']}, "
        f"Python {machine['python']}, load before {load}\n"
        + ", ".join(f"{name} {version}" for name, version in versions.items())
    )


def document(
    outcomes: list[Outcome],
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
    *,
    scale: float,
) -> dict[str, Any]:
    """All of it for programs."""
    return {
        "format": FORMAT,
        "scale": scale,
        "machine": dict(machine),
        "versions": dict(versions),
        "cases": [_case(outcome) for outcome in outcomes],
        "missed": missed(outcomes),
    }


def _case(outcome: Outcome) -> dict[str, Any]:
    sides: dict[str, dict[str, Any]] = {}
    for side, metric, unit, values in figures(outcome):
        found = {"unit": unit, "median": statistics.median(values), "values": values}
        sides.setdefault(side, {})[metric] = found
    return {
        "name": outcome.case.name,
        "title": outcome.case.title,
        "sides": sides,
        "verdicts": [asdict(verdict) for verdict in judge(outcome.case, outcome.found)],
        "left_out": outcome.left_out,
        "error": outcome.error,
    }


def missed(outcomes: list[Outcome]) -> list[str]:
    """What was not as it must be: limits, and cases in which farm itself failed."""
    return [
        *(
            f"{outcome.case.name}: {verdict.what} is {shown(verdict.value)}, not {verdict.limit}"
            for outcome in outcomes
            for verdict in judge(outcome.case, outcome.found)
            if verdict.kept is False
        ),
        *(f"{outcome.case.name}: farm failed" for outcome in outcomes if outcome.error),
    ]
