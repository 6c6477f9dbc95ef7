"""What waits on some nodes while others have nothing to do is had back."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm_service import Hand, World

from farm.server import evening
from farm.server.nodes import SWEEP_SECONDS
from farm.wire.leases import Recall, Want


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


def full(world: World, name: str, batch: int) -> Hand:
    """A node that holds more than its two slots run."""
    node = Hand(world, name)
    for _ in range(3):
        node.want(2)
    assert sum(b - a for _, ranges in node.leases for a, b in ranges) == 6
    return node


def recalls(*nodes: Hand) -> list[int]:
    """How often each was asked to give something back."""
    return [sum(isinstance(told, Recall) for told in node.pushed) for node in nodes]


def test_what_waits_is_had_back_for_a_node_that_has_nothing_to_do(world: World) -> None:
    batch = world.submit(6)
    holder, idle = full(world, "holder", batch), Hand(world, "idle")
    idle.want(2)
    world.live(2 * SWEEP_SECONDS)
    assert Recall(batch) in holder.pushed
    assert recalls(idle) == [0]
    holder.report(batch, returned=[(2, 6)])
    assert idle.leases == [(batch, [(2, 4)])]


def test_what_the_holder_wanted_ahead_is_forgotten_until_it_says_so_again(world: World) -> None:
    batch = world.submit(6)
    holder, idle = full(world, "holder", batch), Hand(world, "idle", 1)
    world.send(holder.peer, Want(2, 0))
    idle.want(1)
    world.live(2 * SWEEP_SECONDS)
    before = len(holder.leases)
    holder.report(batch, returned=[(2, 6)])
    assert len(holder.leases) == before
    world.send(holder.peer, Want(1, 1))
    world.clock.turn()
    assert len(holder.leases) == before + 1


def test_a_moment_without_work_is_nothing_to_be_evened_out(world: World) -> None:
    batch = world.submit(6)
    holder, idle = full(world, "holder", batch), Hand(world, "idle")
    for _ in range(5):
        idle.want(2)
        world.live(SWEEP_SECONDS)
        world.send(idle.peer, Want(0))
        world.live(SWEEP_SECONDS)
    assert recalls(holder) == [0]


def test_without_a_node_that_waits_nobody_is_asked(world: World) -> None:
    holder = full(world, "holder", world.submit(6))
    world.send(holder.peer, Want(2, 0))
    world.live(5 * SWEEP_SECONDS)
    assert recalls(holder) == [0]


def test_while_there_is_work_for_those_who_wait_nobody_is_asked(world: World) -> None:
    """It is not for this node: it has failed here."""
    batch = world.submit(7, retries=1)
    idle = Hand(world, "idle", 1)
    idle.want(1)
    idle.report(batch, failed=[0])
    full(world, "first", batch)
    world.send(idle.peer, Want(1, 1))
    holder = full(world, "holder", world.submit(6))
    world.live(5 * SWEEP_SECONDS)
    assert recalls(holder) == [0]


def test_tasks_that_run_are_left_where_they_are(world: World) -> None:
    batch = world.submit(2)
    holder, idle = Hand(world, "holder"), Hand(world, "idle")
    holder.want(2)
    world.submit(1, rerun=False)
    idle.want(2)
    idle.want(2)
    world.live(5 * SWEEP_SECONDS)
    assert holder.leases == [(batch, [(0, 2)])]
    assert recalls(holder, idle) == [0, 0]


def test_what_may_run_so_many_times_at_once_is_not_asked_for(world: World) -> None:
    limited, other = world.submit(2, max_parallel=2), world.submit(2)
    holder, idle = Hand(world, "holder"), Hand(world, "idle")
    holder.want(2)
    holder.want(2)
    idle.want(2)
    world.live(2 * SWEEP_SECONDS)
    assert Recall(other) in holder.pushed
    assert Recall(limited) not in holder.pushed


def test_of_very_many_nodes_some_are_asked_at_a_time_and_all_in_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evening, "MAX_NODES", 2)
    batch = world.submit(30)
    holders = [full(world, f"holder-{number}", batch) for number in range(5)]
    Hand(world, "idle").want(2)
    world.clock.pass_time(2 * SWEEP_SECONDS)
    assert sum(recalls(*holders)) == 2
    world.clock.pass_time(2 * SWEEP_SECONDS)
    assert min(recalls(*holders)) == 1


def test_only_so_many_are_looked_at_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evening, "MAX_LOOKS", 4)  # of nodes with a batch each, two
    batch = world.submit(30)
    holders = [full(world, f"holder-{number}", batch) for number in range(5)]
    Hand(world, "idle").want(2)
    world.clock.pass_time(2 * SWEEP_SECONDS)
    assert recalls(*holders) == [1, 1, 0, 0, 0]
    world.clock.pass_time(2 * SWEEP_SECONDS)
    assert min(recalls(*holders)) == 1
