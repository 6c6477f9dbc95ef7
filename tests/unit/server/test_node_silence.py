"""How long ago a node was heard, also where the server itself was stopped for a while."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm_service import Hand, World
from hypothesis import given
from hypothesis import strategies as st

from farm.server.ledger import SILENT_SECONDS, Ledger
from farm.wire.leases import Beat
from farm.wire.messages import GetNodes

STALL = 60.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


def silent(world: World) -> list[float]:
    """As `farm nodes` shows it."""
    return [node.silent for node in world.ask(GetNodes()).nodes]


def test_a_node_that_was_heard_first_after_a_stall_was_not_heard_in_the_future(
    world: World,
) -> None:
    node = Hand(world, "node")
    world.clock._now += STALL  # nothing runs meanwhile
    world.ask(Beat(node.token), node.peer)
    world.clock.pass_time(1.0)  # in which the server looks who is silent
    assert silent(world) == [1.0]
    world.clock.pass_time(SILENT_SECONDS + 1.0)
    assert world.desk._nodes == {}, "it would have been believed alive for a minute more"


def test_a_node_that_could_not_be_heard_has_its_time_anew(world: World) -> None:
    Hand(world, "node")
    world.clock._now += STALL
    world.clock.pass_time(1.0)
    assert 0.0 <= silent(world)[0] <= 3.0
    assert len(world.desk._nodes) == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 200)), max_size=10))
def test_nobody_was_ever_heard_later_than_now(stalls: list[tuple[float, float]]) -> None:
    ledger, now = Ledger(), 0.0
    node = ledger.join(1, "node", 1, now=now)
    for passes, forgiven in stalls:
        now += passes
        before = node.heard
        ledger.forgive(forgiven, now)
        assert before <= node.heard <= now
