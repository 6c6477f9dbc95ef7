"""Sessions: only the latest connection of each counts, and none is kept for it."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from farm_service import World

from farm.wire import codec
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


@pytest.mark.parametrize("number", [0, 7])
def test_who_comes_late_does_not_wait_for_ever(world: World, number: int) -> None:
    """Not even one whose greeting wants no answer: it is closed, and the log says why."""
    world.ask(hello(2), world.connect("present"))
    late = world.connect("late")
    line: Any = late._connection

    late.receive(codec.encode(number, hello(1)))
    late.receive(codec.encode(8, ListBatches()))
    world.clock.turn()

    assert [type(body) for body in line.sent.values()] == [Refused] * bool(number)
    assert line.closed
    why = "cut off: a later connection of this session is here already"
    assert line.complaints == [why]


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
