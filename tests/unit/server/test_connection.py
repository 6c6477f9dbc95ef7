"""One connection of the server, with the network moved by hand: how a peer comes in."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fake_transport import Network, Peer, Server, framed
from farm_harness import KEY
from farm_service import Clock
from hypothesis import given
from hypothesis import strategies as st

from farm.server.connection import MAX_HELLO
from farm.server.intake import MAX_AT_ONCE
from farm.wire import handshake
from farm.wire.credentials import BY_CERTIFICATE
from farm.wire.identity import client_context
from farm.wire.tunnel import Tunnel

# -- coming in --------------------------------------------------------------------------------


def test_who_holds_the_key_comes_in(by_hand):
    server = by_hand()
    connection, network, _, dialect = server.known()
    assert connection.role == "admin"
    assert dialect.received == [b"farm"]
    assert server.admission.unknown == 0
    assert network.end == ""


@given(st.lists(st.integers(1, 40), max_size=30))
def test_in_any_pieces(sizes):
    """What a client sends when it has heard all answers is read piece by piece."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asyncio, "get_running_loop", lambda: clock)
        server = Server(clock)
        connection, network = server.call()
        peer = Peer(network, KEY)
        steps = [
            lambda: peer.answers(),
            lambda: [handshake.CHALLENGE + b"{sha256}" + b"c" * 40],
            lambda: peer.hear() and [handshake.WELCOME, b"farm", b"more"],
        ]
        pieces = iter(sizes)
        for step in steps:
            data = framed(*step())
            while data:
                size = next(pieces, len(data))
                connection.data_received(data[:size])
                data = data[size:]
            if not server.dialects:
                assert network.end == ""
    assert server.dialects[0].received == [b"farm", b"more"]


def test_a_wrong_key_is_told_so_and_nothing_else(by_hand, lines):
    server = by_hand()
    _, network = server.call()
    peer = Peer(network, b"x" * 32)
    peer.say(*peer.answers())
    assert peer.hear() == [handshake.FAILURE]
    assert network.end == "closed"
    assert lines() == ["refused: the peer does not hold a key of this server"]


def test_who_does_not_ask_in_time_is_cut_off(by_hand, clock, lines):
    server = by_hand(handshake_timeout=2.0)
    _, silent = server.call()
    _, known = server.call()
    Peer(known, KEY).shake_hands()
    _, asked, *_ = server.known()
    clock.pass_time(2.1)
    assert (silent.end, known.end, asked.end) == ("aborted", "aborted", "")
    assert lines() == ["cut off: no first request within 2 s (--handshake-timeout)"] * 2


def test_there_is_no_deadline_for_who_is_gone(by_hand, clock, lines):
    server = by_hand(handshake_timeout=2.0)
    connection, _, _, dialect = server.known(first=b"plain")
    connection.connection_lost(None)
    clock.pass_time(3.0)
    assert lines() == []
    assert dialect.gone
    assert server.admission.connections == frozenset()


def test_a_server_that_is_full_says_so(by_hand, lines):
    server = by_hand(max_connections=1)
    server.known()
    connection, network = server.call()
    [told] = Peer(network, KEY).hear()
    assert told.startswith(b"#REFUSED#busy#it has 1 connections")
    assert len(told) <= handshake.MAX_FRAME
    assert network.end == "closed"
    assert "--max-connections" in lines()[0]
    connection.connection_lost(None)
    assert len(server.admission.connections) == 1


def test_who_speaks_tls_to_a_server_with_keys_is_cut_off(by_hand, lines):
    _, network = by_hand().call()
    network.bring(b"\x16\x03\x01\x02\x00")
    assert network.end == "aborted"
    assert lines() == ["cut off: it speaks TLS, and this server does not"]


# -- in a tunnel ------------------------------------------------------------------------------


def in_tunnel(network: Network, identity: Path) -> Peer:
    return Peer(network, BY_CERTIFICATE, Tunnel(client_context(identity), server=False))


def test_who_has_a_certificate_comes_in(by_hand, template):
    server = by_hand(tls=template / "server")
    connection, network = server.call()
    peer = in_tunnel(network, template / "worker")
    assert network.sent == b"", "who speaks TLS begins"
    peer.shake_hands()
    peer.say(b"farm")
    assert connection.holder is not None
    assert (connection.role, connection.holder.holder) == ("work", "certificate worker")
    assert server.dialects[0].received == [b"farm"]


def test_who_waits_for_a_challenge_is_told_that_tls_is_spoken(by_hand, template, clock, lines):
    _, network = by_hand(tls=template / "server").call()
    clock.pass_time(0.9)
    assert network.end == ""
    clock.pass_time(0.2)
    text = "it speaks TLS: connect with --tls DIR (FARM_TLS)"
    assert network.frames() == [f"#REFUSED#tls#{text}".encode()]
    assert network.end == "closed"
    assert lines() == [f"turned away: {text}"]


def test_who_stalls_in_the_handshake_of_tls_is_cut_off(by_hand, template, clock, lines):
    _, network = by_hand(tls=template / "server", handshake_timeout=2.0).call()
    hello = Tunnel(client_context(template / "worker"), server=False).begin()
    network.bring(hello[:-1])
    clock.pass_time(1.9)
    assert network.end == ""
    clock.pass_time(0.2)
    assert network.end == "aborted"
    assert lines() == ["cut off: no first request within 2 s (--handshake-timeout)"]


def test_a_handshake_of_tls_that_does_not_end_is_not_kept(by_hand, template, lines):
    _, network = by_hand(tls=template / "server").call()
    message = b"\x01\x01\xff\xff" + b"x" * MAX_HELLO  # a ClientHello that claims 131,071 bytes
    records = (message[at : at + 0x3FFF] for at in range(0, len(message), 0x3FFF))
    hello = b"".join(b"\x16\x03\x01" + len(r).to_bytes(2, "big") + r for r in records)
    network.bring(hello[:MAX_HELLO])
    assert network.end == ""
    network.bring(hello[MAX_HELLO:])
    assert network.end == "aborted"
    assert lines() == [f"cut off: more than {MAX_HELLO} bytes before its tunnel is there"]


def test_many_requests_that_come_at_once_are_taken_in_several_turns(by_hand, clock):
    _, network, peer, dialect = by_hand().known()
    dialect.received.clear()
    sent = [b"%d" % number for number in range(3 * MAX_AT_ONCE)]
    peer.say(*sent)
    assert dialect.received == sent[:MAX_AT_ONCE]
    assert not network.reads
    clock.turn()
    assert dialect.received == sent
    assert network.reads


def test_what_is_no_tls_is_logged_with_the_reason(by_hand, template, lines):
    _, network = by_hand(tls=template / "server").call()
    network.bring(b"GET / HTTP/1.1\r\n\r\n")
    assert network.end == "closed"
    assert lines() == ["refused: the other end does not speak TLS"]
