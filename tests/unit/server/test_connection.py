"""One connection of the server, with the network moved by hand: tunnel, handshake, limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_transport import Network, Peer, framed
from farm_harness import KEY
from farm_service import Clock
from hypothesis import given
from hypothesis import strategies as st

from farm.limits import MIB, Limits
from farm.server import connection as module
from farm.server.admission import Admission
from farm.server.connection import Connection
from farm.server.door import KeyDoor, TlsDoor
from farm.wire import handshake
from farm.wire.credentials import BY_CERTIFICATE
from farm.wire.frames import header
from farm.wire.identity import client_context
from farm.wire.keyring import Keyring
from farm.wire.tunnel import Tunnel

FARM_FRAMES = 50 * MIB


class Dialect:
    """Keeps what it is given."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.received: list[bytes] = []
        self.refused: list[tuple[bytes, str]] = []
        self.gone = False

    def receive(self, frame: bytes) -> None:
        self.received.append(frame)
        if frame == b"farm":
            self.connection.settle(self)

    def refuse(self, head: bytes, code: str, _text: str) -> None:
        self.refused.append((head, code))

    def lost(self) -> None:
        self.gone = True


class Server:
    """All but the listening socket."""

    def __init__(self, clock: Clock, tls: Path | None = None, **limits: Any) -> None:
        door = TlsDoor(tls) if tls else KeyDoor(Keyring.of(KEY), clock.time)
        loop: Any = clock
        self.admission = Admission(Limits(**{"max_frame": FARM_FRAMES, **limits}), door, loop)
        self.dialects: list[Dialect] = []

    def _speak(self, connection: Connection) -> Dialect:
        self.dialects.append(Dialect(connection))
        return self.dialects[-1]

    def call(self, network: Network | None = None) -> tuple[Connection, Network]:
        """A peer connects."""
        network = network or Network()
        connection = Connection(self.admission, self._speak)
        network.connect(connection)
        return connection, network

    def known(
        self, network: Network | None = None, first: bytes = b"farm"
    ) -> tuple[Connection, Network, Peer, Dialect]:
        """A peer has come in, and made its first request."""
        connection, network = self.call(network)
        peer = Peer(network, KEY)
        takes, network.takes = network.takes, True
        peer.shake_hands()
        peer.say(first)
        network.takes = takes
        return connection, network, peer, self.dialects[-1]


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


@pytest.fixture
def serve(clock) -> Callable[..., Server]:
    return lambda **options: Server(clock, **options)


@pytest.fixture
def lines(caplog) -> Callable[[], list[str]]:
    """What the server logs, without the addresses."""
    caplog.set_level(logging.WARNING, "farm.server")
    return lambda: [record.getMessage().partition(": ")[2] for record in caplog.records]


# -- coming in --------------------------------------------------------------------------------


def test_who_holds_the_key_comes_in(serve):
    server = serve()
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


def test_a_wrong_key_is_told_so_and_nothing_else(serve, lines):
    server = serve()
    _, network = server.call()
    peer = Peer(network, b"x" * 32)
    peer.say(*peer.answers())
    assert peer.hear() == [handshake.FAILURE]
    assert network.end == "closed"
    assert lines() == ["refused: the peer does not hold a key of this server"]


def test_who_does_not_ask_in_time_is_cut_off(serve, clock, lines):
    server = serve(handshake_timeout=2.0)
    _, silent = server.call()
    _, known = server.call()
    Peer(known, KEY).shake_hands()
    _, asked, *_ = server.known()
    clock.pass_time(2.1)
    assert (silent.end, known.end, asked.end) == ("aborted", "aborted", "")
    assert lines() == ["cut off: no first request within 2 s (--handshake-timeout)"] * 2


def test_there_is_no_deadline_for_who_is_gone(serve, clock, lines):
    server = serve(handshake_timeout=2.0)
    connection, _, _, dialect = server.known(first=b"plain")
    connection.connection_lost(None)
    clock.pass_time(3.0)
    assert lines() == []
    assert dialect.gone
    assert server.admission.connections == frozenset()


def test_a_server_that_is_full_says_so(serve, lines):
    server = serve(max_connections=1)
    server.known()
    connection, network = server.call()
    [told] = Peer(network, KEY).hear()
    assert told.startswith(b"#REFUSED#busy#it has 1 connections")
    assert len(told) <= handshake.MAX_FRAME
    assert network.end == "closed"
    assert "--max-connections" in lines()[0]
    connection.connection_lost(None)
    assert len(server.admission.connections) == 1


def test_who_speaks_tls_to_a_server_with_keys_is_cut_off(serve, lines):
    _, network = serve().call()
    network.protocol.data_received(b"\x16\x03\x01\x02\x00")
    assert network.end == "aborted"
    assert lines() == ["cut off: it speaks TLS, and this server does not"]


# -- in a tunnel ------------------------------------------------------------------------------


def in_tunnel(network: Network, identity: Path) -> Peer:
    return Peer(network, BY_CERTIFICATE, Tunnel(client_context(identity), server=False))


def test_who_has_a_certificate_comes_in(serve, template):
    server = serve(tls=template / "server")
    connection, network = server.call()
    peer = in_tunnel(network, template / "worker")
    assert network.sent == b"", "who speaks TLS begins"
    peer.shake_hands()
    peer.say(b"farm")
    assert connection.holder is not None
    assert (connection.role, connection.holder.holder) == ("work", "certificate worker")
    assert server.dialects[0].received == [b"farm"]


def test_who_waits_for_a_challenge_is_told_that_tls_is_spoken(serve, template, clock, lines):
    _, network = serve(tls=template / "server").call()
    clock.pass_time(0.9)
    assert network.end == ""
    clock.pass_time(0.2)
    text = "it speaks TLS: connect with --tls DIR (FARM_TLS)"
    assert network.frames() == [f"#REFUSED#tls#{text}".encode()]
    assert network.end == "closed"
    assert lines() == [f"turned away: {text}"]


def test_who_stalls_in_the_handshake_of_tls_is_cut_off(serve, template, clock, lines):
    _, network = serve(tls=template / "server", handshake_timeout=2.0).call()
    hello = Tunnel(client_context(template / "worker"), server=False).begin()
    network.protocol.data_received(hello[:-1])
    clock.pass_time(1.9)
    assert network.end == ""
    clock.pass_time(0.2)
    assert network.end == "aborted"
    assert lines() == ["cut off: no first request within 2 s (--handshake-timeout)"]


def test_what_is_no_tls_is_logged_with_the_reason(serve, template, lines):
    _, network = serve(tls=template / "server").call()
    network.protocol.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert network.end == "closed"
    assert lines() == ["refused: the other end does not speak TLS"]


# -- what a peer may send ---------------------------------------------------------------------


def test_a_message_that_is_too_long_is_refused_and_the_next_one_served(serve, lines):
    _, network, _, dialect = serve(max_frame=MIB).known()
    data = network.protocol.data_received
    data(header(MIB + 1) + b"0123456789abcdefg")
    data(bytes(MIB // 2))
    data(bytes(MIB // 2 - 16) + framed(b"next"))
    assert dialect.refused == [(b"0123456789abcdef", "too-large")]
    assert dialect.received == [b"farm", b"next"]
    assert network.end == ""
    assert lines() == [
        "refused: a message of 1,048,577 bytes; the limit is 1,048,576 (--max-frame)"
    ]


def test_a_message_that_no_server_takes_ends_the_connection(serve):
    _, network, *_ = serve().known()
    network.protocol.data_received(b"\xff\xff\xff\xff" + (1 << 40).to_bytes(8, "big"))
    assert network.end == "aborted"


def test_a_plain_clients_messages_are_shorter(serve, monkeypatch):
    monkeypatch.setattr(module, "PLAIN_FRAME", 100)
    _, _, peer, dialect = serve().known(first=b"plain")
    peer.say(b"x" * 101, b"next")
    assert [code for _, code in dialect.refused] == ["too-large"]
    assert dialect.received == [b"plain", b"next"]


def test_too_many_requests_in_a_second_are_refused(serve, clock, lines):
    _, _, peer, dialect = serve(max_requests=5).known()
    peer.say(*(b"%d" % number for number in range(10)))
    assert dialect.received == [b"farm", b"0", b"1", b"2", b"3"]
    assert dialect.refused == [(b"%d" % number, "busy") for number in range(4, 10)]
    text = "refused: more than 5 requests a second on one connection (--max-requests)"
    assert set(lines()) == {text}
    clock.pass_time(1.0)
    peer.say(b"later")
    assert dialect.received[-1] == b"later"


def test_long_messages_wait_for_one_another_and_all_get_through(serve):
    server = serve(max_queued=5 * MIB)
    callers = [server.known() for _ in range(4)]
    message = framed(b"x" * 3 * MIB)
    for _, network, *_ in callers:
        network.protocol.data_received(message[:4096])
    assert [network.reads for _, network, *_ in callers] == [True, False, False, False]
    for number, (_, network, _, dialect) in enumerate(callers):
        assert network.reads, "it is its turn"
        assert [other.reads for _, other, *_ in callers[number + 1 :]] == [False] * (3 - number)
        network.protocol.data_received(message[4096:])
        assert len(dialect.received) == 2


def test_a_message_of_usual_length_waits_for_nobody(serve):
    server = serve(max_queued=5 * MIB)
    _, long, *_ = server.known()
    long.protocol.data_received(header(5 * MIB) + b"x")
    _, network, _, dialect = server.known()
    network.protocol.data_received(framed(b"x" * MIB)[:4096])
    assert network.reads
    network.protocol.data_received(framed(b"x" * MIB)[4096:])
    assert len(dialect.received) == 2


def test_who_is_gone_or_too_slow_leaves_its_room_to_others(serve, clock, lines):
    server = serve(max_queued=5 * MIB)
    (one, first, *_), (_, second, *_), (_, third, *_) = (server.known() for _ in range(3))
    for network in (first, second, third):
        network.protocol.data_received(header(4 * MIB) + b"x")
    one.connection_lost(None)
    assert (second.reads, third.reads) == (True, False)
    server.admission.sweep()
    clock.pass_time(10.0)
    server.admission.sweep()
    assert second.end == "aborted"
    second.protocol.connection_lost(None)
    assert third.reads
    why = "its message comes on too slowly, and others wait for its room"
    assert lines() == [f"cut off: {why} (--max-queued)"]


def test_what_is_held_back_is_read_up_to_a_message(serve, monkeypatch):
    monkeypatch.setattr(module, "PLAIN_FRAME", 100)
    connection, network, peer, dialect = serve().known(first=b"plain")
    connection.hold()
    peer.say(b"one")
    assert network.reads, "its end would not be noticed"
    peer.say(b"x" * 100)
    assert not network.reads
    assert dialect.received == [b"plain"]
    connection.release()
    assert dialect.received == [b"plain", b"one", b"x" * 100]
    assert network.reads


# -- what a peer does not read ----------------------------------------------------------------


def test_who_does_not_read_is_not_served_until_it_does(serve):
    connection, network, peer, dialect = serve().known(Network(takes=False))
    connection.send(bytes(5 * MIB))
    assert not network.reads
    peer.say(b"request")
    assert dialect.received == [b"farm"]
    network.take(5 * MIB)
    assert network.reads
    assert dialect.received == [b"farm", b"request"]


def test_who_reads_nothing_in_its_time_is_cut_off(serve, clock, lines):
    connection, network, *_ = serve(send_timeout=3.0).known(Network(takes=False))
    connection.send(bytes(5 * MIB))
    clock.pass_time(3.1)
    assert network.end == "aborted"
    assert lines() == ["cut off: it does not read (--send-timeout)"]


def test_answers_to_what_it_had_asked_before_count_too(serve, lines):
    """A peer asks for much at once: each answer is one more, after it was found to be full."""
    connection, network, *_ = serve(max_queued=20 * MIB).known(Network(takes=False))
    for _ in range(100):
        connection.send(bytes(3 * MIB))
    assert network.end == "aborted"
    assert len(network.sent) < 30 * MIB
    assert len(lines()) == 1
    assert "--max-queued" in lines()[0]


def test_of_two_that_do_not_read_the_one_with_more_goes(serve):
    server = serve(max_queued=20 * MIB)
    one, small, *_ = server.known(Network(takes=False))
    other, large, *_ = server.known(Network(takes=False))
    one.send(bytes(5 * MIB))
    other.send(bytes(14 * MIB))
    assert (small.end, large.end) == ("", "")
    one.send(bytes(2 * MIB))
    assert (small.end, large.end) == ("", "aborted")
