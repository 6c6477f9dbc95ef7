"""What is sent to one peer, and the patience with one that does not read it."""

from __future__ import annotations

import asyncio

import pytest
from fake_transport import Network, framed
from farm_service import Clock

from farm.server.outflow import LATE_SECONDS, MAX_LATE, WRITE_HIGH, Outflow
from farm.wire.identity import client_context, server_context
from farm.wire.tunnel import Tunnel


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


@pytest.fixture
def network():
    return Network(takes=False)


@pytest.fixture
def stuck():
    """When the peer was found to be stuck."""
    return []


@pytest.fixture
def out(network, clock, stuck):
    return Outflow(network, None, 10.0, lambda: stuck.append(clock.time() - 1000.0))


def test_a_frame_is_sent_behind_its_length(out, network):
    out.send(b"words")
    assert network.sent == b"\0\0\0\5words"
    assert out.unsent == 9


def test_a_long_frame_is_not_copied_to_stand_behind_its_length(out, network):
    network.protocol = type("Ignored", (), {"pause_writing": lambda _: None})()
    out.send(bytes(WRITE_HIGH))
    assert network.writes == [4, WRITE_HIGH]


def test_nothing_is_sent_to_who_is_gone(out, network):
    network.close()
    out.send(b"words")
    assert out.closing
    assert network.sent == b""


def test_in_a_tunnel_the_peer_alone_can_read_it(template, clock):
    peer = Tunnel(client_context(template / "worker"), server=False)
    tunnel = Tunnel(server_context(template / "server"), server=True)
    network = Network()
    out = Outflow(network, tunnel, 10.0, lambda: None)
    data = peer.begin()
    while data:
        data = peer.receive(tunnel.receive(data)[1])[1]
    out.send(b"secret words")
    assert b"secret" not in network.sent
    assert peer.receive(bytes(network.sent))[0] == framed(b"secret words")


def test_who_takes_nothing_in_its_time_is_stuck(out, clock, stuck):
    out.send(bytes(1000))
    clock.pass_time(100.0)
    assert stuck == []  # nobody watches: it has not been told to stop
    out.watch()
    clock.pass_time(9.9)
    assert stuck == []
    clock.pass_time(0.2)
    assert stuck == [110.0]
    clock.pass_time(100.0)
    assert len(stuck) == 1


def test_a_slow_one_is_waited_for_as_long_as_it_takes_something(out, network, clock, stuck):
    out.send(bytes(1000))
    out.watch()
    for _ in range(50):
        network.take(1)
        clock.pass_time(9.0)
    assert stuck == []
    clock.pass_time(20.0)
    assert len(stuck) == 1


def test_more_to_send_is_nothing_taken(out, clock, stuck):
    out.send(bytes(1000))
    out.watch()
    clock.pass_time(5.0)
    out.send(bytes(1000))
    clock.pass_time(5.1)
    assert stuck == [10.0]


def test_who_reads_again_or_is_gone_is_not_watched(out, clock, stuck):
    out.send(bytes(1000))
    out.watch()
    out.relax()
    out.relax()
    clock.pass_time(100.0)
    assert stuck == []


def test_what_nobody_waits_for_goes_with_what_is_sent_next(out, network, clock):
    out.send_late(b"one")
    out.send_late(b"two")
    assert network.writes == []
    out.send(b"three")
    assert network.sent == framed(b"one", b"two", b"three")
    assert len(network.writes) == 1
    clock.pass_time(1.0)
    assert len(network.writes) == 1


def test_it_goes_by_itself_if_nothing_else_does(out, network, clock):
    out.send_late(b"one")
    clock.pass_time(LATE_SECONDS)
    assert network.sent == framed(b"one")
    out.send_late(b"two")
    clock.pass_time(LATE_SECONDS)
    assert network.sent == framed(b"one", b"two")


def test_it_does_not_pile_up(out, network):
    for _ in range(MAX_LATE):
        out.send_late(b"x")
    assert network.sent == framed(*[b"x"] * MAX_LATE)


def test_nothing_late_is_sent_on_a_connection_that_is_gone(out, network, clock):
    out.send_late(b"one")
    network.close()
    out.end()
    clock.pass_time(1.0)
    assert network.sent == b""
