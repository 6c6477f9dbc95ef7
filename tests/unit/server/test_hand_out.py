"""Leasing to many nodes that wait: each turn looks at those alone that may get something."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm_service import Hand, World

from farm.wire.leases import Want

NODES = 50


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


@pytest.fixture
def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The nodes for which work was looked for."""
    found: list[int] = []
    lease = world.core.lease

    def noted(node: int, *rest):
        found.append(node)
        return lease(node, *rest)

    monkeypatch.setattr(world.core, "lease", noted)
    return found


def waiting(world: World, idle: int) -> list[Hand]:
    """Nodes that want work, each with so many idle slots."""
    nodes = [Hand(world, f"node-{number}", 4) for number in range(NODES)]
    for node in nodes:
        world.send(node.peer, Want(4, idle))
    return nodes


def test_without_work_no_node_is_looked_at(world: World, asked: list[int]) -> None:
    waiting(world, idle=4)
    asked.clear()
    world.desk.hand_out()
    assert asked == []


def test_what_is_for_idle_slots_is_looked_for_once_for_all_without_one(
    world: World, asked: list[int]
) -> None:
    nodes = waiting(world, idle=0)
    world.submit(1000, max_parallel=500)
    asked.clear()
    world.desk.hand_out()
    assert asked == [nodes[0].joined.node]


def test_an_idle_one_behind_them_gets_it(world: World) -> None:
    waiting(world, idle=0)
    last = Hand(world, "last", 4)
    world.send(last.peer, Want(4, 4))
    batch = world.submit(1000, max_parallel=500)
    assert last.leases == [(batch, [(0, 4)])]


def test_all_that_waited_get_of_what_is_for_anybody(world: World, asked: list[int]) -> None:
    nodes = waiting(world, idle=0)
    world.submit(1000, max_parallel=500)
    batch = world.submit(1000)
    assert [node.leases[0][0] for node in nodes] == [batch] * NODES


def test_what_one_of_them_is_not_to_try_again_goes_to_the_next(world: World) -> None:
    batch = world.submit(1, retries=1)
    first, second = Hand(world, "first", 1), Hand(world, "second", 1)
    first.want()
    first.report(batch, failed=[0])
    world.submit(1000, max_parallel=500)
    asked_before = len(first.leases)
    for node in (first, second):
        world.send(node.peer, Want(1, 0))
    world.clock.turn()
    assert first.leases[asked_before:] == []
    assert second.leases == [(batch, [(0, 1)])]
