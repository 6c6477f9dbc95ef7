"""A peer that speaks farm's protocol: what of it is answered, and what ends its connection."""

from __future__ import annotations

import logging

import msgspec
import pytest
from farm_service import World

from farm.errors import ProtocolError
from farm.server import peers, turns
from farm.wire import codec
from farm.wire.leases import Join, Joined, Want
from farm.wire.messages import (
    Append,
    Block,
    Cancel,
    Done,
    GetNodes,
    GetSpec,
    GetStatus,
    Hello,
    Nodes,
    Refused,
    Welcome,
)

UNREAD = msgspec.msgpack.encode([7, ["GetStatus", 5]])
"""Request 7, whose reference is no text."""


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.kill()
    assert made.given_up == []


@pytest.fixture
def line(world):
    """The connection of the world's client."""
    return world.peer._connection


def test_a_request_that_cannot_be_read_is_answered_and_the_next_one_served(world, line):
    world.peer.receive(UNREAD)
    assert line.sent.pop(7).code == "bad-request"
    assert isinstance(world.ask(GetNodes()), Nodes)
    [complaint] = line.complaints
    assert complaint.startswith("refused: the frame is not a request")


def test_who_sends_many_that_cannot_be_read_is_cut_off(world, line):
    for _ in range(peers.MAX_UNREAD - 1):
        world.peer.receive(UNREAD)
        assert line.sent.pop(7).code == "bad-request"
    with pytest.raises(ProtocolError, match="not a request"):
        world.peer.receive(UNREAD)


def test_a_connection_is_of_one_session_and_of_one_node(world):
    peer = world.connect("one")
    assert isinstance(world.ask(Hello("1", "3", "first", 1), peer), Welcome)
    assert world.ask(Hello("1", "3", "second", 1), peer).code == "bad-request"
    assert isinstance(world.ask(Hello("1", "3", "first", 2), peer), Welcome)
    assert isinstance(world.ask(Join("n", 1, [], "token"), peer), Joined)
    assert world.ask(Join("n", 1, [], "another"), peer).code == "bad-request"
    assert isinstance(world.ask(Join("n", 1, [], "token"), peer), Joined)


@pytest.mark.parametrize(
    "request_", [Hello("1", "3", "x" * 201), Hello("1" * 201, "3"), Join("n", 1, [], "x" * 201)]
)
def test_what_is_remembered_of_a_peer_is_short(world, request_):
    assert world.refused(request_) == "bad-request"


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x92\x00\x91\xa1x", b"{}"])
def test_what_wants_no_answer_and_cannot_be_read_ends_the_connection(world, frame):
    with pytest.raises(ProtocolError, match="not a request"):
        world.peer.receive(frame)


@pytest.mark.parametrize("number", [1, 127, 128, 2**32, 2**63])
def test_what_is_refused_unread_is_answered_by_its_number(world, line, number):
    frame = codec.encode(number, GetStatus("last"))
    world.peer.refuse(frame[:16], "busy", "too much")
    assert line.sent == {number: Refused("busy", "too much")}
    assert not line.closed


def test_who_wants_no_answer_learns_by_the_connections_end_that_it_was_not_heard(world, line):
    world.peer.refuse(codec.encode(0, Want(1, 1))[:16], "busy", "too much")
    assert (line.sent, line.pushed, line.closed) == ({}, [], True)


def test_who_waits_for_very_much_is_busy_where_it_would_wait_for_more(world, monkeypatch):
    monkeypatch.setattr(turns, "MAX_WAITERS", 3)
    batch = world.submit(0, open=True)
    for _ in range(3):
        world.send(world.peer, GetStatus(str(batch), 10.0))
    world.clock.turn()
    assert world.refused(GetStatus(str(batch), 10.0)) == "busy"
    assert isinstance(world.ask(GetNodes()), Nodes)
    assert world.ask(GetStatus(str(batch))).batch == batch, "this waits for nothing"
    assert world.ask(Append(batch, [Block(0, 1, b"items")])) == Done()
    assert world.ask(Cancel(str(batch))).state == "cancelled"
    world.clock.pass_time(10.1)
    assert len(world.peer.waiters) == 0


def test_who_has_much_to_read_gets_more_as_it_reads(world, line):
    """However much it asked for at once: what waits is not made, nor read, nor kept."""
    made: list[int] = []

    def answer(number: int) -> Done:
        made.append(number)
        line.full = number % 2 == 0
        return Done()

    for number in range(1, 7):
        world.peer.answer(number, lambda number=number: answer(number))
    world.clock.turn()
    assert made == [1, 2]
    for reads in ([3, 4], [5, 6], []):
        line.full = False
        made.clear()
        world.peer.relieved()
        world.clock.turn()
        assert made == reads
    assert set(line.sent) == {1, 2, 3, 4, 5, 6}


def test_for_who_reads_no_more_nothing_is_made(world, line):
    line.full = True
    for number in (1, 2):
        world.peer.answer(number, lambda: pytest.fail("nobody hears it"))
    line.full, line.closing = False, True
    world.peer.relieved()
    world.clock.turn()
    world.peer.answer(3, lambda: pytest.fail("nobody hears it"))
    world.peer.lost()
    line.closing = False
    world.peer.relieved()
    world.clock.turn()
    assert line.sent == {}


def test_who_asks_for_much_at_once_is_heard_again_when_half_of_it_is_made(world, line):
    made: list[int] = []

    def answer(number: int) -> Done:
        made.append(number)
        world.clock._now += 1.0  # so that each is a slice of its own
        return Done()

    for number in range(1, peers.MAX_UNMADE + 1):
        assert not line.held
        world.peer.answer(number, lambda number=number: answer(number))
    assert line.held
    line.release = lambda: made.append(0)
    world.clock.turn()
    assert sorted(made) == list(range(peers.MAX_UNMADE + 1))
    assert made.index(0) in (peers.MAX_UNMADE // 2, peers.MAX_UNMADE // 2 + 1)


def test_what_it_asked_for_meanwhile_is_not_served_before_the_answers_of_a_turn_are_made(
    world, line
):
    """Else they would tell of what is not journalled yet."""
    batch = world.submit(3)
    seen: list[int] = []

    def look() -> Done:
        seen.append(world.journal.pending)
        return Done()

    for number in range(1000, 1000 + peers.MAX_UNMADE):
        world.peer.answer(number, look)
    line.release = lambda: world.core.record_done(batch, 0, (0, 1), b"", b"", 0.0)
    world.clock.turn()
    assert seen == [0] * peers.MAX_UNMADE
    assert world.status(batch).done == 1


def test_who_asks_for_much_does_not_keep_who_asks_for_little_waiting(world):
    order: list[str] = []

    def answer(name: str) -> Done:
        order.append(name)
        world.clock._now += 1.0
        return Done()

    greedy = [world.connect("greedy") for _ in range(3)]
    modest = world.connect("modest")
    for peer in greedy:
        for number in range(1, 6):
            peer.answer(number, lambda: answer("greedy"))
    for number in (1, 2):
        modest.answer(number, lambda: answer("modest"))
    world.clock.turn()
    assert order[:5] == ["greedy", "modest"] * 2 + ["greedy"]
    assert len(order) == 17


def test_one_with_many_connections_has_all_of_them_served_in_turn(world):
    order: list[str] = []
    for name in ("a", "b"):
        peer = world.connect("same")
        for number in (1, 2):
            peer.answer(number, lambda name=name: order.append(name) or Done())
    world.clock.turn()
    assert order == ["a", "b", "a", "b"]


def test_a_long_answer_is_not_seen_before_what_it_tells_is_journalled(world):
    batch = world.submit(3)
    world.core.record_done(batch, 0, (0, 1), b"", b"", 0.0)
    seen: list[int] = []
    world.core.read("anybody", lambda: seen.append(world.journal.pending) or len(seen) < 3)
    world.clock.turn()
    assert seen == [0, 0, 0]


def test_an_answer_that_cannot_be_made_later_is_an_error_then(world, line):
    batch = world.submit(1)
    line.full = True
    number = world.send(world.peer, GetSpec(batch))
    world.clock.turn()
    world.core.cancel(batch)
    world.core.forget(batch)
    world.clock.turn()
    line.full = False
    world.peer.relieved()
    world.clock.turn()
    assert line.sent[number].code == "unknown-batch"


def test_a_bug_is_logged_and_not_told(world, caplog):
    def fails(*_):
        raise KeyError("something of the server's own")

    world.service.handlers[GetNodes] = fails
    answer = world.ask(GetNodes())
    assert answer.code == "internal"
    assert "server's own" not in answer.text
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "server's own" in caplog.text


def test_who_has_a_later_connection_is_not_served_on_this_one(world, line):
    world.peer.mute()
    world.send(world.peer, GetNodes())
    world.peer.receive(b"\xc1")
    world.clock.turn()
    assert line.sent == {}


def test_nobody_waits_for_who_is_gone(world):
    world.submit(1)
    world.send(world.peer, GetStatus("1", 10.0))
    world.clock.turn()
    assert len(world.core.waiters._by_batch) == 1
    world.peer.lost()
    assert world.core.waiters._by_batch == {}
