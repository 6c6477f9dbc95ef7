"""Sessions: only the latest connection of each counts, and none is kept for it."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
from farm_service import World

from farm.wire.messages import Hello, ListBatches, Refused, Welcome


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


def hello(connection: int) -> Hello:
    return Hello("1", "3.11", "session", connection)


def test_a_later_connection_ends_an_earlier_one(world: World) -> None:
    first, second = world.connect("first"), world.connect("second")
    assert isinstance(world.ask(hello(1), first), Welcome)
    assert isinstance(world.ask(hello(2), second), Welcome)

    number = world.send(first, ListBatches())
    world.clock.turn()

    assert first._connection.closed  # type: ignore[attr-defined]
    assert number not in first._connection.sent  # type: ignore[attr-defined]
    late = world.ask(hello(1), world.connect("late"))
    assert isinstance(late, Refused)
    assert late.code == "superseded"


def test_a_session_is_remembered_without_its_connection(world: World) -> None:
    peer = world.connect("gone")
    world.ask(hello(2), peer)
    there = weakref.ref(peer)
    peer.lost()
    del peer
    gc.collect()

    assert there() is None
    late = world.ask(hello(1), world.connect("late"))
    assert isinstance(late, Refused)
    assert late.code == "superseded"
    assert isinstance(world.ask(hello(3), world.connect("later")), Welcome)
