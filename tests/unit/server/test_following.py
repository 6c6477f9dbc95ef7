"""Outcomes as they come, one answer after the other to one request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from farm_service import Hand, World

from farm.wire import codec
from farm.wire.messages import Cancel, GetOutcomes, Message, Outcomes


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


class Ear:
    """A client that follows a batch: all pages of its one request."""

    def __init__(self, world: World, batch: int, cursor: int = 0) -> None:
        self.world = world
        self.peer = world.connect("follower")
        self.pages: list[Message] = []
        line: Any = self.peer._connection
        line.send = lambda frame: self.pages.append(codec.decode_reply(frame)[1])
        world.send(self.peer, GetOutcomes(batch, cursor, follow=True))
        world.clock.turn()

    @property
    def starts(self) -> list[int]:
        """The first index of each outcome that came."""
        return [one.start for page in self.pages for one in page.outcomes]  # type: ignore[attr-defined]


def test_each_outcome_comes_once_and_the_end_is_told(world: World) -> None:
    batch, node = world.submit(3), Hand(world, "n", 3)
    ear = Ear(world, batch)
    assert ear.pages == []
    node.want()
    for index in range(3):
        node.report(batch, done=[(index, index + 1)])
        assert ear.starts == list(range(index + 1))
    last = ear.pages[-1]
    assert isinstance(last, Outcomes)
    assert (last.ended, last.state) == (True, "done")
    count = len(ear.pages)
    world.clock.pass_time(200.0)
    assert len(ear.pages) == count
    assert ear.peer.waiters == set()


def test_what_was_recorded_before_comes_first_from_the_cursor_on(world: World) -> None:
    batch, node = world.submit(4), Hand(world, "n", 4)
    node.want()
    node.report(batch, done=[(0, 1), (1, 2)])
    first = Ear(world, batch)
    assert first.starts == [0, 1]
    node.report(batch, done=[(2, 3)])
    assert first.starts == [0, 1, 2]
    cursor = first.pages[0].cursor  # type: ignore[attr-defined]
    assert Ear(world, batch, cursor).starts == [2]


def test_nothing_comes_while_nothing_happens(world: World) -> None:
    """Not even an empty page when the time is over that other requests wait."""
    batch = world.submit(1)
    ear = Ear(world, batch)
    world.clock.pass_time(600.0)
    assert ear.pages == []


def test_the_end_of_a_batch_that_is_cancelled_is_told(world: World) -> None:
    batch = world.submit(2)
    ear = Ear(world, batch)
    world.ask(Cancel(str(batch)))
    (page,) = ear.pages
    assert isinstance(page, Outcomes)
    assert (page.outcomes, page.ended, page.state) == ([], True, "cancelled")


def test_who_is_gone_is_not_waited_for(world: World) -> None:
    batch, node = world.submit(2), Hand(world, "n", 2)
    ear = Ear(world, batch)
    ear.peer.lost()
    assert world.core.waiters.number["follower"] == 0
    node.want()
    node.report(batch, done=[(0, 2)])
    assert ear.pages == []
