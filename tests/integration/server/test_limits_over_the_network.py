"""Each limit of a real server: who is over it learns so, the log names it, others are served."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from farm_harness import HOST, PATIENCE, ServerThread, eventually
from plain_scripts import run

from farm.errors import RequestError, ServerUnreachableError, UsageError
from farm.limits import MIB, Limits
from farm.server import budget, manager
from farm.wire import codec
from farm.wire.frames import header
from farm.wire.identity import client_context
from farm.wire.messages import GetNodes, GetSpec, GetStatus, ListBatches, Nodes, Refused, SpecFound
from farm.wire.tunnel import Tunnel

ELSEWHERE = "127.0.0.2"


def call(server: ServerThread, source: str = HOST) -> socket.socket:
    """Connect from an address, and say nothing."""
    return socket.create_connection(server.address, PATIENCE, (source, 0))


def rest(sock: socket.socket) -> bytes:
    """All that is said until the connection ends."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(4096):
            said += data
    return said


@contextlib.contextmanager
def all_of(server: ServerThread, count: int, source: str = HOST) -> Iterator[list[socket.socket]]:
    """Several silent peers, as long as they are wanted."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(call(server, source)) for _ in range(count)]


# -- how many connections ---------------------------------------------------------------------


def test_a_server_that_is_full_turns_away_with_the_reason(serve, log):
    server = serve(limits=Limits(max_connections=2))
    with server.session() as one:
        with server.session() as other:
            with pytest.raises(
                ServerUnreachableError, match="turned this connection away: it has 2"
            ):
                server.session()
            assert "(--max-connections)" in log.wait("127.0.0.1:")
            assert one.batches() == other.batches() == []
        eventually(lambda: comes_in(server), "there is room again")
        assert one.batches() == []


def comes_in(server: ServerThread) -> bool:
    try:
        server.session().close()
    except ServerUnreachableError:
        return False
    return True


def test_strangers_do_not_fill_a_server(serve, log):
    server = serve(limits=Limits(max_connections=5, handshake_timeout=3600.0))
    with server.session() as session, all_of(server, 20):
        assert session.batches() == []
        assert comes_in(server)
    log.wait("there is no room for a peer that is unknown (--max-connections)")


def test_one_address_does_not_take_the_room_of_another(serve, log):
    server = serve(limits=Limits(max_per_address=3, handshake_timeout=3600.0))
    with all_of(server, 3), call(server) as turned_away:
        assert rest(turned_away)[4:].startswith(b"#REFUSED#busy#it has 3 connections from 127")
        assert "(--max-per-address)" in log.wait("turned away: ")
        with call(server, ELSEWHERE) as other:
            assert other.recv(4096)[4:].startswith(b"#CHALLENGE#")
    with server.session() as session:
        assert session.batches() == []


def test_strangers_that_come_all_at_once_are_not_too_many(serve, log):
    server = serve(limits=Limits(max_unknown=5, handshake_timeout=3600.0))
    with server.session() as session:
        go_on = threading.Event()
        server.server._loop.call_soon_threadsafe(go_on.wait, PATIENCE)
        with all_of(server, 40):
            go_on.set()
            admission = server.server.admission
            eventually(lambda: server.call(lambda: admission.unknown == 5), "the others are gone")
            log.wait("cut off: more than 5 peers are unknown (--max-unknown)")
            assert session.batches() == []
            assert comes_in(server)


# -- how long ---------------------------------------------------------------------------------


def test_who_is_silent_is_cut_off(serve, log):
    server = serve(limits=Limits(handshake_timeout=0.5))
    with server.session() as session, call(server) as silent:
        assert rest(silent)[4:].startswith(b"#CHALLENGE#")
        log.wait("cut off: no first request within 0.5 s (--handshake-timeout)")
        assert session.batches() == []


def test_who_stalls_in_the_handshake_of_tls_is_cut_off(serve, log, tls):
    server = serve(tls=tls / "server", limits=Limits(handshake_timeout=0.2))
    hello = Tunnel(client_context(tls / "worker"), server=False).begin()
    with call(server) as stalls:
        stalls.sendall(hello[: len(hello) // 2])
        assert rest(stalls) == b""
        log.wait("cut off: no first request within 0.2 s (--handshake-timeout)")


def large_batch(server: ServerThread, size: int) -> None:
    """Batch 1, whose spec has so many bytes."""
    with server.session() as session:
        session.submit(Large(b"x" * size))


class Large:
    """A function that travels by value, with its bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __call__(self) -> int:
        return len(self.content)


def test_who_does_not_read_is_cut_off(serve, log, asker):
    server = serve(limits=Limits(send_timeout=0.2))
    large_batch(server, 15_000_000)
    peer = asker(server)
    peer.send(GetSpec(1))
    log.wait("cut off: it does not read (--send-timeout)")
    with server.session() as session:
        assert len(session.batches()) == 1


# -- how much ---------------------------------------------------------------------------------


def long_request(size: int) -> GetStatus:
    """There is no batch of such a name; the answer says so, and quotes it."""
    return GetStatus("x" * size)


def test_a_message_that_is_too_long_is_refused_and_the_connection_goes_on(serve, log, asker):
    server = serve(limits=Limits(max_frame=MIB))
    peer = asker(server)
    assert peer.welcome.max_frame == MIB
    answer = peer.ask(long_request(2 * MIB))
    assert isinstance(answer, Refused)
    assert answer.code == "too-large"
    assert "the limit is 1,048,576 (--max-frame)" in answer.text
    log.wait("(--max-frame)")
    assert peer.ask(ListBatches()).total == 0


def test_farms_own_client_does_not_even_send_it(serve, log):
    server = serve(limits=Limits(max_frame=MIB))
    with server.session() as session:
        with pytest.raises(UsageError, match=r"the server takes at most 1,048,576 .*--max-frame"):
            session.submit(Large(b"x" * 2 * MIB))
        assert session.batches() == []
    assert log.lines == []


TOO_LONG = """
print(error_of(tasks.put, ("m:f", (b"x" * 9_000_000,)))[:60])
print(tasks.put(("m:f",)), tasks.qsize())
"""


def test_a_plain_client_is_told_so_and_goes_on(server, log):
    refused, after = run(TOO_LONG, server.port)
    assert refused.startswith("ValueError: a message of 9,000,")
    assert after == "0 1"


def test_a_task_whose_result_is_too_long_has_failed(serve, node_at):
    server = serve(limits=Limits(max_frame=MIB))
    node_at(server)
    with server.session() as session:
        batch = session.submit(repeated, [{"text": "x", "times": n} for n in (1, 2 * MIB)])
        small, large = batch.ordered(PATIENCE)
    assert small.value == "x"
    assert large.error.type_name == "ResultTooLarge"
    assert "--max-frame" in large.error.message


def repeated(text: str, times: int) -> str:
    return text * times


@pytest.fixture
def hasty(monkeypatch):
    """Sweeps often, and waits shortly for a message that does not come on."""
    monkeypatch.setattr(manager, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr(budget, "STALL_SECONDS", 0.1)


def test_long_messages_wait_for_one_another_and_all_get_through(serve, monkeypatch):
    free = []
    give = budget.Budget._give
    monkeypatch.setattr(
        budget.Budget,
        "_give",
        lambda *arguments: [give(*arguments), free.append(arguments[0]._free)],
    )
    server = serve(limits=Limits(max_queued=5 * MIB))
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(server.session()) for _ in range(8)]
        asked = [session.link.ask(long_request(3 * MIB)) for session in sessions]
        for future in asked:
            with pytest.raises(RequestError, match="there is no batch"):
                future.result(PATIENCE)
    assert len(free) == 8
    assert min(free) >= 0


def test_one_that_trickles_is_cut_off_when_others_wait(serve, log, asker, hasty):
    server = serve(limits=Limits(max_queued=5 * MIB))
    slow = asker(server)
    slow.channel._sock.sendall(header(4 * MIB) + b"x")
    with server.session() as session:
        assert session.batches() == [], "a short message waits for nobody"
        with pytest.raises(RequestError, match="there is no batch"):
            session.link.call(long_request(3 * MIB), PATIENCE)
    log.wait(
        "cut off: its message comes on too slowly, and others wait for its room (--max-queued)"
    )


def ask_at_once(peer, request, times: int) -> None:
    """Send the same request many times, without a look at the answers."""
    frame = codec.encode(1, request)
    peer.channel._sock.setblocking(True)
    peer.channel._sock.sendall((header(len(frame)) + frame) * times)
    peer.channel._sock.setblocking(False)


def test_who_asks_for_much_at_once_gets_it_as_it_reads(serve, asker):
    server = serve()
    large_batch(server, MIB)
    peer = asker(server)
    ask_at_once(peer, GetSpec(1), 100)
    admission = server.server.admission

    def unsent() -> int:
        return server.call(lambda: max(c.unsent for c in admission.connections))

    eventually(lambda: unsent() > 4 * MIB, "the server waits for it to read")
    with server.session() as session:
        assert len(session.batches()) == 1
    assert unsent() < 7 * MIB
    assert {type(peer.hear()[1]) for _ in range(100)} == {SpecFound}


def test_of_those_who_read_nothing_the_one_with_most_is_cut_off(serve, log, asker):
    server = serve(limits=Limits(max_queued=20 * MIB))
    large_batch(server, MIB)
    for _ in range(6):
        ask_at_once(asker(server), GetSpec(1), 100)
    assert "(--max-queued)" in log.wait("cut off: it has not read ")
    with server.session() as session:
        assert len(session.batches()) == 1


def test_a_batch_that_is_too_large_is_refused(serve):
    server = serve(limits=Limits(max_batch=MIB))
    with server.session() as session:
        with pytest.raises(
            UsageError, match=r"this server takes at most 1,048,576 \(--max-batch\)"
        ):
            session.submit(repeated, [{"text": "x" * 300_000, "times": n} for n in range(5)])
        batch = session.submit(repeated, [{"text": "x" * 300_000, "times": n} for n in range(3)])
        assert batch.status().total == 3


# -- how often --------------------------------------------------------------------------------

OFTEN = """
answers = [error_of(tasks.qsize) for _ in range(200)]
print(answers.count(0), [answer for answer in answers if answer != 0][0])
time.sleep(0.1)
print(tasks.qsize())
"""


def test_too_many_requests_are_refused_and_a_farm_client_gets_its_answers(serve, log, asker):
    server = serve(limits=Limits(max_requests=50))
    with server.session() as session:
        asked = [session.link.ask(GetNodes()) for _ in range(100)]
        assert [future.result(PATIENCE) for future in asked] == [Nodes([])] * 100
        log.wait("refused: more than 50 requests a second on one connection (--max-requests)")
        peer = asker(server)
        numbers = [peer.send(GetNodes()) for _ in range(60)]
        answers = dict(peer.hear() for _ in numbers)
        codes = {body.code for body in answers.values() if isinstance(body, Refused)}
        assert codes == {"busy"}
        assert set(answers) == set(numbers)


def test_a_plain_client_is_told_that_it_asks_too_often(serve):
    server = serve(limits=Limits(max_requests=50))
    [told, after] = run(OFTEN, server.port)
    served, _, why = told.partition(" ")
    assert 49 <= int(served) < 200
    assert why.startswith("RuntimeError: more than 50 requests a second")
    assert after == "0"


def test_a_node_that_says_too_much_is_heard_on_its_next_connection(serve, node_at):
    """What wants no answer, too: its wish for work would be lost, and it would wait for ever."""
    server = serve(limits=Limits(max_requests=4))
    node_at(server, slots=2)
    with server.session() as session:
        batch = session.submit(later, [{"x": n} for n in range(40)])
        assert list(batch.results(PATIENCE)) == list(range(40))


def later(x: int) -> int:
    time.sleep(0.01)
    return x
