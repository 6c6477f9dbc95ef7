"""When a turn ends, and what is done before its commit."""

from __future__ import annotations

import pickle
import sqlite3
from pathlib import Path

import pytest
from farm_service import Hand, World

from farm.server.turns import QUIET_SECONDS, RETRY_SECONDS
from farm.wire.leases import Join
from farm.wire.messages import Append, Block, Cancel, GetStatus


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "data")
    made.clock.pass_time(1.0)
    return made


def heard(world: World, request) -> None:
    """A request comes on a connection, and nothing else with it."""
    world.peer.hear()
    world.send(world.peer, request)
    world.peer.heard()


def answers(world: World) -> int:
    return len(world.peer._connection.sent)  # type: ignore[attr-defined]


def test_where_little_happens_the_turn_ends_at_once(world: World) -> None:
    world.submit(1)
    world.clock.pass_time(2 * QUIET_SECONDS)
    heard(world, GetStatus("last"))
    assert answers(world) == 1


def test_what_follows_at_once_is_written_together(world: World) -> None:
    world.submit(1)
    world.clock.pass_time(2 * QUIET_SECONDS)
    heard(world, GetStatus("last"))
    heard(world, GetStatus("last"))
    heard(world, GetStatus("last"))
    assert answers(world) == 1
    world.clock.turn()
    assert answers(world) == 3


def test_a_turn_that_has_ended_does_not_end_again(world: World, monkeypatch) -> None:
    world.submit(1)
    world.clock.pass_time(2 * QUIET_SECONDS)
    world.core.plan_flush()  # by a timer, say
    heard(world, GetStatus("last"))
    commits = []
    monkeypatch.setattr(world.journal, "commit", lambda: commits.append(1))
    world.clock.turn()
    assert commits == []


def test_after_its_end_a_server_writes_nothing(world: World) -> None:
    world.submit(1)
    world.send(world.peer, Cancel("last"))
    world.core.stop()
    world.journal.abandon()
    world.clock.turn()
    assert world.given_up == []  # although the database is closed


def block(start: int) -> Block:
    return Block(start, start + 1, pickle.dumps([("math:sqrt", (4,), {})]))


@pytest.fixture
def node(world: World) -> Hand:
    """It wants work."""
    made = Hand(world, "n")
    made.want()
    return made


@pytest.fixture
def given(world: World, node: Hand, monkeypatch) -> list[int]:
    """How many leases it had been given when each commit began."""
    found: list[int] = []
    commit = world.journal.commit

    def noted() -> None:
        if world.journal.pending:
            found.append(len(node.leases))
        commit()

    monkeypatch.setattr(world.journal, "commit", noted)
    return found


def test_more_of_a_batch_is_leased_while_it_is_written(world: World, node: Hand, given) -> None:
    batch = world.submit(0, open=True)
    given.clear()
    world.ask(Append(batch, [block(0)]))
    assert node.leases == [(batch, [(0, 1)])]
    assert given[0] == 1


def test_of_a_new_batch_nothing_is_leased_before_it_is_written(
    world: World, node: Hand, given
) -> None:
    """Were it lost, its number would be that of another one, and the node would have its tasks."""
    batch = world.submit(1)
    assert node.leases == [(batch, [(0, 1)])]
    assert given[0] == 0


def test_while_nothing_can_be_written_nothing_is_leased(world: World, monkeypatch) -> None:
    batch = world.submit(4)

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(world.journal, "commit", full)
        node = Hand.__new__(Hand)
        node.world, node.name, node.slots, node.token = world, "n", 2, "token"
        node.peer = world.connect("n")
        world.send(node.peer, Join("n", 2, [], "token"))
        world.clock.turn()
        assert world.core.stalled
        assert node.want() == []
        world.clock.pass_time(3 * RETRY_SECONDS)
        assert node.leases == []
    world.clock.pass_time(RETRY_SECONDS)
    assert node.leases == [(batch, [(0, 2)])]
