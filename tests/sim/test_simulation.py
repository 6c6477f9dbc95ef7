"""A thousand hostile worlds keep every promise; where one is broken, that is found out."""

from __future__ import annotations

import os

import pytest
from sim.run import run_all, run_one
from sim.world import World

from farm.batch.ranges import RangeSet
from farm.delivery import Delivery
from farm.server.holding import settle
from farm.server.states import Batch, Node
from farm.server.turns import Turns

SEEDS = 1_000
FEW = 60


@pytest.mark.timeout(600)
def test_no_promise_is_broken_in_any_world() -> None:
    broken, counts = run_all(0, SEEDS, len(os.sched_getaffinity(0)))
    assert not broken, broken[0]
    assert counts["worlds"] == SEEDS
    # Worlds in which nothing happens would prove nothing.
    assert counts["executions"] > 30 * SEEDS
    for harm in ("server deaths", "kill_node", "freeze_node", "cut_node", "fill_disk", "retry"):
        assert counts[harm] > SEEDS / 3, harm


def test_a_seed_decides_on_everything() -> None:
    first, second = World(12), World(12)
    first.run()
    second.run()
    assert first.lines == second.lines
    assert first.executions == second.executions


def found_out() -> str:
    """What breaks first in a few worlds."""
    for seed in range(FEW):
        reason, _ = run_one(seed)
        if reason is not None:
            assert f"--seed {seed}" in reason, "it does not say how to see it again"
            return reason
    return ""


def test_an_answer_before_the_journal_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turns, "answer", lambda turns, send: (send(), turns.plan_flush()))
    assert found_out()


def test_a_second_outcome_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "farm.server.states.Batch.owes",
        lambda s, start, stop: [(start, min(stop, s.total))],
    )
    assert "twice" in found_out()


def test_a_node_that_forgets_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Delivery, "disconnected", lambda delivery: delivery._told.clear())
    assert found_out()


def test_leases_that_are_not_given_back_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def settled(state: Batch, node: Node) -> RangeSet:
        settle(state, node)
        return RangeSet()

    monkeypatch.setattr("farm.server.ledger.settle", settled)
    reason = found_out()
    assert "nowhere" in reason or "do not add up" in reason
