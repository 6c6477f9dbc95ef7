"""One connection of the server, with the network moved by hand: what is over a limit."""

from __future__ import annotations

import socket

import pytest
from fake_transport import Network, framed

from farm.limits import MIB
from farm.server import connection as module
from farm.server import intake
from farm.wire.frames import header

# -- what a peer may send ---------------------------------------------------------------------


def test_a_message_that_is_too_long_is_refused_and_the_next_one_served(by_hand, lines):
    _, network, _, dialect = by_hand(max_frame=MIB).known()
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


def test_a_message_that_no_server_takes_ends_the_connection(by_hand):
    _, network, *_ = by_hand().known()
    network.bring(b"\xff\xff\xff\xff" + (1 << 40).to_bytes(8, "big"))
    assert network.end == "aborted"


def test_a_plain_clients_messages_are_shorter(by_hand, monkeypatch):
    monkeypatch.setattr(module, "PLAIN_FRAME", 100)
    _, _, peer, dialect = by_hand().known(first=b"plain")
    peer.say(b"x" * 101, b"next")
    assert [code for _, code in dialect.refused] == ["too-large"]
    assert dialect.received == [b"plain", b"next"]


@pytest.mark.parametrize("first", [b"plain", b"farm"])
def test_long_messages_come_whole_whoever_sends_them(by_hand, clock, first):
    _, network, _, dialect = by_hand().known(first=first)
    for part in (header(MIB) + bytes(10), bytes(MIB - 10) + framed(b"next")):
        network.bring(part)
        clock.turn()
    assert [len(message) for message in dialect.received] == [len(first), MIB, 4]


def test_others_have_their_turn_while_one_has_many_requests(by_hand, clock):
    _, network, _, dialect = by_hand().known()
    network.bring(b"".join(framed(b"%d" % number) for number in range(40)))
    assert len(dialect.received) == 1 + intake.MAX_AT_ONCE
    assert not network.reads
    clock.turn()
    assert len(dialect.received) == 1 + 40
    assert network.reads


def test_others_have_their_turn_while_one_has_requests_that_take_long(by_hand, clock, monkeypatch):
    _, network, _, dialect = by_hand().known()

    def serve(frame: bytes) -> None:
        dialect.received.append(frame)
        clock._now += intake.SLICE_SECONDS / 2

    monkeypatch.setattr(dialect, "receive", serve)
    network.bring(b"".join(framed(b"%d" % number) for number in range(5)))
    assert dialect.received == [b"farm", b"0", b"1"]
    clock.turn()
    assert dialect.received == [b"farm", b"0", b"1", b"2", b"3", b"4"]


def test_too_many_requests_in_a_second_are_refused(by_hand, clock, lines):
    _, _, peer, dialect = by_hand(max_requests=5).known()
    peer.say(*(b"%d" % number for number in range(10)))
    assert dialect.received == [b"farm", b"0", b"1", b"2", b"3"]
    assert dialect.refused == [(b"%d" % number, "busy") for number in range(4, 10)]
    text = "refused: more than 5 requests a second on one connection (--max-requests)"
    assert set(lines()) == {text}
    clock.pass_time(1.0)
    peer.say(b"later")
    assert dialect.received[-1] == b"later"


def test_long_messages_wait_for_one_another_and_all_get_through(by_hand):
    server = by_hand(max_queued=5 * MIB)
    callers = [server.known() for _ in range(4)]
    message = framed(b"x" * 3 * MIB)
    for _, network, *_ in callers:
        network.bring(message[:4096])
    assert [network.reads for _, network, *_ in callers] == [True, False, False, False]
    for number, (_, network, _, dialect) in enumerate(callers):
        assert network.reads, "it is its turn"
        assert [other.reads for _, other, *_ in callers[number + 1 :]] == [False] * (3 - number)
        network.bring(message[4096:])
        assert len(dialect.received) == 2


def test_a_message_of_usual_length_waits_for_nobody(by_hand):
    server = by_hand(max_queued=5 * MIB)
    _, long, *_ = server.known()
    long.protocol.data_received(header(5 * MIB) + b"x")
    _, network, _, dialect = server.known()
    network.bring(framed(b"x" * MIB)[:4096])
    assert network.reads
    network.bring(framed(b"x" * MIB)[4096:])
    assert len(dialect.received) == 2


def test_who_is_gone_or_too_slow_leaves_its_room_to_others(by_hand, clock, lines):
    server = by_hand(max_queued=5 * MIB)
    (one, first, *_), (_, second, *_), (_, third, *_) = (server.known() for _ in range(3))
    for network in (first, second, third):
        network.bring(header(4 * MIB) + b"x")
    one.connection_lost(None)
    assert (second.reads, third.reads) == (True, False)
    list(server.admission.sweep())
    clock.pass_time(10.0)
    list(server.admission.sweep())
    assert second.end == "aborted"
    second.protocol.connection_lost(None)
    assert third.reads
    why = "its message comes on too slowly, and others wait for its room"
    assert lines() == [f"cut off: {why} (--max-queued)"]


def test_what_is_held_back_is_read_up_to_a_bound(by_hand, monkeypatch):
    monkeypatch.setattr(intake, "FREE", 100)
    connection, network, peer, dialect = by_hand().known(first=b"plain")
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


def test_who_does_not_read_is_not_served_until_it_does(by_hand):
    connection, network, peer, dialect = by_hand().known(Network(takes=False))
    connection.send(bytes(5 * MIB))
    assert not network.reads
    peer.say(b"request")
    assert dialect.received == [b"farm"]
    assert (connection.full, dialect.reliefs) == (True, 0)
    network.take(5 * MIB)
    assert network.reads
    assert (connection.full, dialect.reliefs) == (False, 1)
    assert dialect.received == [b"farm", b"request"]


def test_what_waited_is_sent_before_more_is_asked(by_hand):
    connection, network, peer, dialect = by_hand().known(Network(takes=False))
    dialect.relieved = lambda: connection.send(bytes(5 * MIB))
    connection.send(bytes(5 * MIB))
    peer.say(b"request")
    network.take(5 * MIB)
    assert connection.full, "again"
    assert not network.reads
    assert dialect.received == [b"farm"]


def test_who_reads_nothing_in_its_time_is_cut_off(by_hand, clock, lines):
    connection, network, *_ = by_hand(send_timeout=3.0).known(Network(takes=False))
    connection.send(bytes(5 * MIB))
    clock.pass_time(3.1)
    assert network.end == "aborted"
    assert lines() == ["cut off: it does not read (--send-timeout)"]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="there is no such option")
def test_the_system_is_as_patient_as_the_server(by_hand, lines):
    network = Network(takes=False)
    network.socket = socket.socket()
    with network.socket:
        connection, *_ = by_hand(send_timeout=100.0).known(network)

        def seconds() -> float:
            option = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
            return network.socket.getsockopt(*option) / 1000

        assert seconds() == 30.0
        connection.send(bytes(5 * MIB))
        assert seconds() > 200.0
        network.take(5 * MIB)
        assert seconds() == 30.0
        connection.connection_lost(TimeoutError(110, "Connection timed out"))
    assert lines() == ["lost: it has vanished, or does not read"]


def test_answers_to_what_it_had_asked_before_count_too(by_hand, lines):
    """A peer asks for much at once: each answer is one more, after it was found to be full."""
    connection, network, *_ = by_hand(max_queued=20 * MIB).known(Network(takes=False))
    for _ in range(100):
        connection.send(bytes(3 * MIB))
    assert network.end == "aborted"
    assert len(network.sent) < 30 * MIB
    assert len(lines()) == 1
    assert "--max-queued" in lines()[0]


def test_of_two_that_do_not_read_the_one_with_more_goes(by_hand):
    server = by_hand(max_queued=20 * MIB)
    one, small, *_ = server.known(Network(takes=False))
    other, large, *_ = server.known(Network(takes=False))
    one.send(bytes(5 * MIB))
    other.send(bytes(14 * MIB))
    assert (small.end, large.end) == ("", "")
    one.send(bytes(2 * MIB))
    assert (small.end, large.end) == ("", "aborted")


def test_what_a_connection_keeps_is_counted_whichever_way_it_waits(by_hand):
    connection, network, *_ = by_hand().known(Network(takes=False))
    nothing = connection.kept
    connection.send(b"x" * 1000)
    assert connection.kept == nothing + 1004
    network.bring(header(MIB) + bytes(500))
    assert connection.kept == nothing + 1004 + 500  # its header has been read
    network.bring(bytes(MIB - 500))
    assert connection.kept == nothing + 1004
    network.bring(header(2 * MIB) + bytes(1000))
    assert connection.kept == nothing + 1004, "that has room of its own"


def test_what_waits_for_room_is_counted(by_hand):
    server = by_hand(max_queued=3 * MIB)
    (one, *_), (other, *_) = server.known(), server.known()
    for connection in (one, other):
        connection.data_received(header(2 * MIB) + bytes(1000))
    assert (one.kept, other.kept) == (0, 1000)
