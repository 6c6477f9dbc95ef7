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
    world.submit(1000, max_parallel=500, priority=-1)
    batch = world.submit(1000)
    assert [node.leases[0][0] for node in nodes] == [batch] * NODES


def test_what_must_not_wait_on_a_node_does_not_wait_for_ever_beside_what_may(
    world: World, asked: list[int]
) -> None:
    nodes = waiting(world, idle=0)
    strict = world.submit(1, max_parallel=1, priority=1)
    plain = world.submit(1000)
    assert [node.leases for node in nodes] == [[]] * NODES
    assert len(asked) <= 3, "one is asked for, in each turn"
    world.send(nodes[7].peer, Want(4, 1))  # it had nothing else to do at last
    world.clock.turn()
    assert (strict, [(0, 1)]) in nodes[7].leases
    assert all(plain in dict(node.leases) for node in nodes)


def test_what_waits_for_an_idle_slot_keeps_back_only_what_comes_behind_it(world: World) -> None:
    nodes = waiting(world, idle=0)
    world.submit(1000, rerun=False)
    plain = world.submit(1000, priority=1)
    assert [node.leases[0][0] for node in nodes] == [plain] * NODES


def test_a_slot_with_nothing_to_do_comes_before_those_that_want_some_ahead(world: World) -> None:
    first, second = Hand(world, "first", 4), Hand(world, "second", 4)
    world.send(first.peer, Want(4, 0))
    world.send(second.peer, Want(4, 4))
    batches = [world.submit(1), world.submit(1)]
    assert [batch for batch, _ in second.leases] == batches
    assert first.leases == []


def test_who_has_nothing_to_do_any_more_waits_among_those(world: World) -> None:
    node = Hand(world, "node", 4)
    world.send(node.peer, Want(4, 0))
    world.send(node.peer, Want(4, 2))
    batches = [world.submit(1) for _ in range(4)]
    assert [batch for batch, _ in node.leases] == batches
    world.submit(1)
    assert len(node.leases) == 4, "what it wanted, it has been given"


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
