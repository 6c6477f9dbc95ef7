"""Open batches whose client is gone: they are closed after a while, and end as any other."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from farm_service import SPEC, Hand, World
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.spec import Options
from farm.server import fencing
from farm.server.attendance import AWAY_SECONDS, Absences
from farm.server.peers import Peer
from farm.wire.controls import Pause
from farm.wire.messages import (
    Append,
    Block,
    Done,
    Hello,
    Refused,
    Submit,
    Submitted,
    Welcome,
    session_of,
    token_of,
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


class Client:
    """A session, and its open batch of one task."""

    def __init__(self, world: World, session: str = "s1", token: str = "") -> None:
        self.world, self.session = world, session
        self._connections = itertools.count(1)
        self.come()
        blocks = [Block(0, 1, b"")]
        token = token or token_of(session)
        request = Submit(token, "pool", 1, Options(), SPEC, blocks=blocks, open=True)
        answer = world.ask(request, self.peer)
        assert isinstance(answer, Submitted)
        self.batch = answer.batch

    def come(self) -> Peer:
        """On a new connection."""
        self.peer = self.world.connect(self.session)
        greeting = Hello("1", "3.11", self.session, next(self._connections))
        assert isinstance(self.world.ask(greeting, self.peer), Welcome)
        return self.peer

    def append(self, start: int = 1, *, close: bool = False) -> object:
        blocks = [Block(start, start + 1, b"")]
        return self.world.ask(Append(self.batch, blocks, close), self.peer)

    @property
    def is_open(self) -> bool:
        return self.world.ledger.batches[self.batch].open


def test_a_client_that_is_there_may_take_its_time(world: World) -> None:
    client = Client(world)
    world.clock.pass_time(10 * AWAY_SECONDS)
    assert client.is_open
    assert isinstance(client.append(), Done)


def test_a_batch_whose_client_is_gone_is_closed_and_what_is_queued_runs(world: World) -> None:
    client = Client(world)
    client.peer.lost()
    world.clock.pass_time(AWAY_SECONDS - 1)
    assert client.is_open
    world.clock.pass_time(3.0)
    assert not client.is_open
    assert world.status(client.batch).state == "waiting"
    node = Hand(world, "n", 1)
    assert node.want() == [(client.batch, [(0, 1)])]
    node.report(client.batch, done=[(0, 1)])
    status = world.status(client.batch)
    assert (status.state, status.total) == ("done", 1)
    assert status.reason == "closed, as its client had been away for 60 s"


def test_a_batch_without_tasks_has_ended_then(world: World) -> None:
    client = Client(world)
    node = Hand(world, "n", 1)
    node.want()
    node.report(client.batch, done=[(0, 1)])
    client.peer.lost()
    world.live(AWAY_SECONDS + 2)
    assert world.status(client.batch).state == "done"


def test_a_client_that_comes_back_in_time_goes_on(world: World) -> None:
    client = Client(world)
    for _ in range(3):
        client.peer.lost()
        world.clock.pass_time(AWAY_SECONDS - 2)
        client.come()
        world.clock.pass_time(2.0)
    assert isinstance(client.append(), Done)


def test_the_loss_of_an_earlier_connection_is_none(world: World) -> None:
    client = Client(world)
    earlier = client.peer
    client.come()
    earlier.lost()
    world.clock.pass_time(2 * AWAY_SECONDS)
    assert client.is_open


def test_a_client_that_comes_back_later_is_told_and_its_last_block_still_known(
    world: World,
) -> None:
    client = Client(world)
    assert isinstance(client.append(1), Done)
    client.peer.lost()
    world.clock.pass_time(AWAY_SECONDS + 2)
    client.come()
    assert isinstance(client.append(1), Done), "it came before; its answer was lost"
    for start in (2, 3):
        told = client.append(start)
        assert isinstance(told, Refused)
        assert told.code == "closed"
        assert "it was closed, as its client had been away for 60 s" in told.text
    assert isinstance(world.ask(Append(client.batch, [], True), client.peer), Done)


def test_that_it_was_closed_is_journalled(world: World) -> None:
    client = Client(world)
    client.peer.lost()
    world.clock.pass_time(AWAY_SECONDS + 2)
    world.restart()
    assert not client.is_open
    client.come()
    told = client.append()
    assert isinstance(told, Refused)
    assert "away for 60 s" in told.text


def test_after_a_restart_the_time_begins_anew(world: World) -> None:
    gone, back = Client(world, "s1"), Client(world, "s2")
    gone.peer.lost()
    world.clock.pass_time(AWAY_SECONDS - 5)
    world.restart(away=3600.0)
    world.clock.pass_time(AWAY_SECONDS - 5)
    assert gone.is_open
    back.come()
    world.clock.pass_time(10.0)
    assert (gone.is_open, back.is_open) == (False, True)
    assert isinstance(back.append(), Done)


def test_a_batch_of_nobody_in_particular_waits(world: World) -> None:
    client = Client(world, token="of-somebody")
    client.peer.lost()
    world.clock.pass_time(10 * AWAY_SECONDS)
    assert client.is_open


def test_a_pause_does_not_keep_it_open(world: World) -> None:
    client = Client(world)
    world.ask(Pause(str(client.batch)))
    client.peer.lost()
    world.clock.pass_time(AWAY_SECONDS + 2)
    assert not client.is_open
    assert world.status(client.batch).state == "paused"


def test_while_nothing_can_be_journalled_nothing_is_closed(world: World) -> None:
    client = Client(world)
    client.peer.lost()
    world.fill_disk()
    world.journal.add_code("x", {"big": b"x" * 200_000})
    world.core.plan_flush()
    world.clock.pass_time(AWAY_SECONDS + 5)
    assert client.is_open
    world.make_room()
    world.clock.pass_time(AWAY_SECONDS + 5)
    assert not client.is_open


def test_sessions_that_are_here_are_not_forgotten(world: World, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(fencing, "MAX_SESSIONS", 2)
    client = Client(world, "first")
    for number in range(5):
        peer = world.connect(f"other {number}")
        world.ask(Hello("1", "3.11", f"other {number}", 1), peer)
        peer.lost()
    world.clock.pass_time(AWAY_SECONDS + 5)
    assert client.is_open
    assert len(world.service._sessions._latest) == 2


def test_while_the_server_itself_was_stopped_nobody_could_come() -> None:
    absences = Absences(0.0)
    absences.add(1, "s")
    assert absences.over(1.0, lambda _: False) == []
    assert absences.over(7200.0, lambda _: False) == []
    assert absences.over(7201.0, lambda _: False) == []


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_it_is_over_after_so_many_seconds_without_a_break(here: list[bool]) -> None:
    absences, away = Absences(0.0), 0
    absences.add(7, "s")
    for now, is_here in enumerate(here, 1):
        away = 0 if is_here else away + 1
        found = absences.over(float(now), lambda _, is_here=is_here: is_here)  # type: ignore[misc]
        assert found == ([7] if away > AWAY_SECONDS else [])


def test_a_token_says_whose_it_is() -> None:
    assert session_of(token_of("5f1c")) == "5f1c"
    assert token_of("5f1c") != token_of("5f1c")
    assert session_of("import-0123") == session_of("plain-queue") == ""
