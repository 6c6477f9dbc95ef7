"""Medians, ratios within each repeat, and limits."""

from __future__ import annotations

import pytest

from benchmarks.case import Case, Elsewhere, Must
from benchmarks.report import shown, word
from benchmarks.verdicts import judge, ratio

FARM = [{"tasks": 10.0}, {"tasks": 90.0}, {"tasks": 30.0}]
PEER = [{"tasks": 20.0}, {"tasks": 100.0}, {"tasks": 10.0}]


def verdicts(*musts: Must, **peers):
    case = Case("c", "title", {"tasks": "/s"}, {}, {}, musts)
    return judge(case, {"farm": FARM, **peers})


def test_a_ratio_is_the_median_of_those_of_the_repeats() -> None:
    assert ratio(FARM, PEER, "tasks") == 0.9  # of 0.5, 0.9 and 3; medians would give 1.5


def test_a_side_that_did_nothing_is_infinitely_worse() -> None:
    assert ratio(FARM, [{"tasks": 0.0}] * 3, "tasks") == float("inf")


@pytest.mark.parametrize(
    ("must", "kept"),
    [
        (Must("tasks", least=30), True),
        (Must("tasks", least=30.1), False),
        (Must("tasks", most=30), True),
        (Must("tasks", most=29.9), False),
        (Must("tasks", least=10, most=20), False),
        (Must("tasks", aim=40), None),
        (Must("tasks", "peer", least=0.9), True),
        (Must("tasks", "peer", least=0.91), False),
        (Must("tasks", "peer", most=0.9), True),
        (Must("tasks", "peer", most=0.89), False),
    ],
)
def test_a_limit_is_kept_or_not(must: Must, kept: bool | None) -> None:
    (verdict,) = verdicts(must, peer=PEER)

    assert verdict.kept is kept


def test_a_side_that_is_not_there_has_no_verdict() -> None:
    assert verdicts(Must("tasks", "peer", least=1)) == []
    assert (
        judge(Case("c", "t", {}, {}, {}, (Must("tasks", "peer", least=1),)), {"peer": PEER}) == []
    )


def test_a_figure_of_elsewhere_stands_for_a_side_that_is_not_there_and_says_so() -> None:
    must = Must("tasks", "peer", least=2, elsewhere=Elsewhere(10.0, "another run"))

    (elsewhere,) = verdicts(must)
    (measured,) = verdicts(must, peer=PEER)

    assert (elsewhere.value, elsewhere.beside, elsewhere.kept) == (3.0, 10.0, True)
    assert elsewhere.what == "farm / peer (10, not measured here: another run), tasks"
    assert (measured.value, measured.beside, measured.kept) == (0.9, 20.0, False)
    assert measured.what == "farm / peer, tasks"


def test_a_verdict_says_what_must_be() -> None:
    (verdict,) = verdicts(Must("tasks", "peer", least=0.6, aim=0.9), peer=PEER)

    assert (verdict.limit, word(verdict)) == ("at least 0.6, aim 0.9", "ok")


def test_a_limit_of_a_figure_has_its_unit_and_that_of_a_ratio_three_digits() -> None:
    figure, of_peer = verdicts(
        Must("tasks", least=1500), Must("tasks", "peer", most=1 / 3), peer=PEER
    )

    assert (figure.limit, of_peer.limit) == ("at least 1,500/s", "at most 0.333")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123456, "0.0123"), (1.0, "1.00"), (99.96, "100."), (123.4, "123"), (12345.6, "12,346")],
)
def test_figures_are_short(value: float, text: str) -> None:
    assert shown(value) == text.rstrip(".")
