"""How much is told of what each node did, and how many may wait to be told."""

from __future__ import annotations

import pytest
from farm_service import World

from farm.server import states, turns
from farm.wire.leases import Join
from farm.wire.messages import GetStatus, Outcome


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.kill()


def test_of_very_many_nodes_the_last_ones_are_told_of_together(world, monkeypatch):
    monkeypatch.setattr(states, "MAX_SHARES", 2)
    batch = world.submit(6)
    for number in range(5):
        node = world.ask(Join(f"n{number}", 1, [], f"t{number}"), world.connect(f"n{number}")).node
        world.core.record_done(batch, node, (number, number + 1), b"", bytes(4), 2.0)
    told = [(share.node, share.done) for share in world.status(batch).nodes]
    assert told == [("n0", 1), ("n1", 1), ("others", 3)]
    world.clock.turn()
    world.restart()
    again = world.status(batch).nodes
    assert len(again) == 3
    assert sum(share.done for share in again) == 5


def test_a_nodes_name_in_an_outcome_is_short():
    kind = Outcome.__annotations__["node"]
    assert "Name" in str(kind)


def test_of_the_holders_of_one_key_so_many_may_wait(world, monkeypatch):
    monkeypatch.setattr(turns, "MAX_WAITING", 3)
    batch = world.submit(1)
    peers = [world.connect("same") for _ in range(2)]
    for peer in (*peers, peers[0]):
        world.send(peer, GetStatus(str(batch), 10.0))
    world.clock.turn()
    assert world.ask(GetStatus(str(batch), 10.0), peers[1]).code == "busy"
    assert world.core.waiters.number == {"same": 3}
    number = world.send(world.peer, GetStatus(str(batch), 1.0))
    peers[0].lost()
    assert world.core.waiters.number == {"same": 1, "client": 1}
    world.clock.pass_time(20.0)
    assert number in world.peer._connection.sent
    assert world.core.waiters.number == {}
