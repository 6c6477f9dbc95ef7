"""What a node claims when it joins, where no node could: it is refused, and nothing is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm_service import Hand, World

from farm.wire.leases import Held, Join, Unheard
from farm.wire.messages import GetNodes


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


@pytest.mark.parametrize("index", [-1, -(2**63), 2**63 - 1])
def test_a_failure_of_a_task_that_cannot_be_is_refused(world: World, index: int) -> None:
    batch = world.submit(10)

    refusal = world.refused(Join("node", 1, [], "token", failed=[Unheard(batch, index, 1)]))

    assert refusal == "bad-request"
    assert world.ask(GetNodes()).nodes == []


@pytest.mark.parametrize("part", [(3, 3), (5, 2), (-1, 4), (2**63 - 1, 2**63 - 1)])
def test_a_range_that_cannot_be_is_refused(world: World, part: tuple[int, int]) -> None:
    batch = world.submit(10)

    assert world.refused(Join("node", 1, [Held(batch, [part])], "token")) == "bad-request"
    assert world.ask(GetNodes()).nodes == []


def test_a_node_that_is_refused_keeps_what_it_had(world: World) -> None:
    batch = world.submit(10)
    node = Hand(world, "node")
    leased = node.want()

    other = world.connect("the same node")
    wrong = Join("node", 2, [Held(batch, [(5, 2)])], node.token)
    assert world.ask(wrong, other).code == "bad-request"

    assert leased == [(batch, [(0, 2)])]
    assert node.peer.node == world.ask(GetNodes()).nodes[0].node
    assert list(world.ledger.batches[batch].leased[node.joined.node]) == [(0, 2)]
