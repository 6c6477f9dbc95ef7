"""Which sides are measured how often, and what becomes of those that cannot be."""

from __future__ import annotations

import pytest

from benchmarks import report, runner
from benchmarks.case import Case, Must
from benchmarks.cases import CASES
from benchmarks.runner import Scope, run_case

CASE = Case(
    "c", "title", {"x": "s"}, {"x": "what"}, dict.fromkeys(("farm", "a", "b"), lambda _: {}),
    (Must("x", "a", most=1), Must("x", most=5)), repeats=2,
)  # fmt: skip
SIX = ({"x": 6.0}, "", "")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    """Runs the case with what its sides answer, in turn; the outcome, and who was measured."""

    def start(answers, **scope):
        order: list[str] = []

        def measured(case: Case, side: str, scope: Scope):
            order.append(side)
            return answers[side].pop(0) if isinstance(answers[side], list) else answers[side]

        monkeypatch.setattr(runner, "_in_a_process", measured)
        return run_case(CASE, Scope(**scope), lambda _: None), order

    return start


def test_the_sides_are_measured_in_turn(run) -> None:
    outcome, order = run({"farm": SIX, "a": SIX, "b": SIX})

    assert order == ["farm", "a", "b"] * 2
    assert outcome.found == {side: [{"x": 6.0}] * 2 for side in ("farm", "a", "b")}
    assert report.missed([outcome]) == ["c: farm, x is 6.00, not at most 5 s"]


def test_a_peer_that_is_not_there_is_left_out_and_fails_nothing(run) -> None:
    outcome, order = run({"farm": SIX, "a": ({}, "it is not installed", ""), "b": SIX})

    assert order == ["farm", "a", "b", "farm", "b"]
    assert outcome.left_out == {"a": "it is not installed"}
    assert not outcome.error
    assert "  a is left out: it is not installed" in report.lines(outcome)


def test_a_peer_that_fails_later_is_left_out_altogether(run) -> None:
    outcome, _ = run({"farm": SIX, "a": [SIX, ({}, "", "it broke")], "b": SIX})

    assert (outcome.left_out, sorted(outcome.found)) == ({"a": "it broke"}, ["b", "farm"])
    assert not outcome.error


def test_a_case_that_this_farm_cannot_run_is_left_out(run) -> None:
    outcome, order = run({"farm": ({}, "this version has no Pool", ""), "a": SIX, "b": SIX})

    assert (order, outcome.found, outcome.error) == (["farm"], {}, "")
    assert report.missed([outcome]) == []
    assert list(report.lines(outcome))[1:] == ["  farm is left out: this version has no Pool"]


def test_farm_itself_may_not_fail(run) -> None:
    outcome, order = run({"farm": ({}, "", "it broke"), "a": SIX, "b": SIX})

    assert (order, outcome.error) == (["farm"], "it broke")
    assert report.missed([outcome]) == ["c: farm failed"]


def test_the_command_line_decides_on_repeats_and_peers(run) -> None:
    _, order = run({"farm": SIX, "a": SIX, "b": SIX}, repeats=3, peers=False)

    assert order == ["farm"] * 3


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_limits_name_sides_and_metrics_that_there_are(case: Case) -> None:
    assert next(iter(case.sides)) == "farm"
    assert {must.than for must in case.musts} - {""} <= set(case.sides)
    assert {must.metric for must in case.musts} <= set(case.units)
