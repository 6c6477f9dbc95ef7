"""What is sent again while the journal cannot be written: taken once, and answered when written."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm_service import SPEC, World

from farm.batch.spec import Options
from farm.wire.messages import Append, Block, Done, Submit, Submitted

SUBMIT = Submit("s/1", "big", 10, Options(), SPEC, blocks=[Block(0, 10, b"x" * 30_000)])
OPEN = Submit("s/2", "open", 1, Options(), SPEC, blocks=[Block(0, 1, b"x")], open=True)
MORE = [Block(1, 2, b"y" * 30_000)]


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.kill()
    assert made.given_up == []


def answers(world: World, number: int) -> object:
    return world.peer._connection.sent.get(number)


def test_a_submission_that_was_taken_is_not_refused_when_it_comes_again(world):
    world.fill_disk()
    world.send(world.peer, SUBMIT)
    world.clock.turn()
    assert world.core.stalled
    world.peer = world.connect("again")
    number = world.send(world.peer, SUBMIT)
    world.clock.turn()
    assert answers(world, number) is None
    world.make_room()
    world.clock.pass_time(2.0)
    assert answers(world, number) == Submitted(1, known=True)
    assert [info.name for info in world.core.infos.values()] == ["big"]


@pytest.mark.parametrize("close", [False, True])
def test_blocks_that_were_taken_are_not_refused_when_they_come_again(world, close):
    batch = world.ask(OPEN).batch
    world.fill_disk()
    world.send(world.peer, Append(batch, MORE, close))
    world.clock.turn()
    assert world.core.stalled
    world.peer = world.connect("again")
    number = world.send(world.peer, Append(batch, MORE, close))
    world.clock.turn()
    assert answers(world, number) is None
    world.make_room()
    world.clock.pass_time(2.0)
    assert answers(world, number) == Done()
    assert world.status(batch).total == 2


@pytest.mark.parametrize(
    "more", [Append(1, [*MORE, Block(2, 3, b"z")]), Append(1, [], True), SUBMIT],
    ids=["blocks", "the end", "a batch"],
)  # fmt: skip
def test_what_is_new_is_refused_while_it_cannot_be_written(world, more):
    batch = world.ask(OPEN).batch
    world.fill_disk()
    world.send(world.peer, Append(batch, MORE))
    world.clock.turn()
    assert world.core.stalled
    assert world.refused(more) == "journal"
    assert (world.ledger.batches[batch].total, len(world.core.infos)) == (2, 1)
    assert world.ledger.batches[batch].open
