"""Peers that are silent, that claim too much, or that are too many: the others are served."""

from __future__ import annotations

import contextlib
import math
import queue
import socket
import struct
import threading
import time
from multiprocessing.connection import Client

import pytest
from farm_harness import HOST, KEY, PATIENCE, ServerThread, eventually
from plain_scripts import in_process

from farm.batch import spec as specs
from farm.batch.spec import Options
from farm.errors import FarmError, RequestError
from farm.limits import Limits
from farm.server import connection, manager
from farm.wire import codec
from farm.wire.address import Address
from farm.wire.frames import header
from farm.wire.greeting import greet
from farm.wire.leases import Beat, Join, Part, Report, Want
from farm.wire.messages import Append, GetOutcomes, GetStatus, ListBatches, Refused, Submit
from farm.wire.opening import connect


def stranger(server: ServerThread) -> socket.socket:
    sock = socket.create_connection((HOST, server.port), timeout=PATIENCE)
    assert sock.recv(4096)[4:].startswith(b"#CHALLENGE#")
    return sock


def is_cut_off(sock: socket.socket) -> bool:
    """Whether the server closes the connection, without another word."""
    try:
        return sock.recv(4096) == b""
    except ConnectionError:
        return True


def test_a_silent_peer_is_cut_off_after_the_deadline(serve):
    server = serve(limits=Limits(handshake_timeout=0.1))
    with stranger(server) as sock:
        assert is_cut_off(sock)


def test_a_peer_that_is_known_but_asks_nothing_is_cut_off_too(serve):
    server = serve(limits=Limits(handshake_timeout=0.3))
    with Client((HOST, server.port), authkey=KEY) as client:
        assert client.poll(PATIENCE)
        with pytest.raises((EOFError, ConnectionError)):
            client.recv_bytes()


def test_a_peer_that_has_asked_is_not_cut_off(serve):
    server = serve(limits=Limits(handshake_timeout=0.2))
    tasks = in_process(server.port).get_task_queue()
    assert tasks.qsize() == 0
    with stranger(server) as silent:  # cut off later than the other would have been
        assert is_cut_off(silent)
    assert tasks.qsize() == 0


@pytest.mark.parametrize(
    "odd",
    [struct.pack("!i", 257), struct.pack("!iQ", -1, 1 << 40), struct.pack("!i", -5),
     header(16) + b"x" * 16, header(3) + b"abc", b"GET / HTTP/1.1\r\n\r\n"],
    ids=["too long", "64 bits", "negative", "wrong answer", "garbage", "HTTP"],
)  # fmt: skip
def test_before_the_peer_is_known_anything_odd_ends_the_connection(serve, odd):
    server = serve(limits=Limits(handshake_timeout=3600.0))  # it is not the deadline
    with stranger(server) as sock:
        sock.sendall(odd)
        said = b""
        with contextlib.suppress(ConnectionError):
            while more := sock.recv(4096):
                said += more
        assert said in (b"", header(9) + b"#FAILURE#")
    assert in_process(server.port).get_task_queue().qsize() == 0


def test_fifty_silent_peers_hinder_nobody(server):
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(stranger(server))
        with server.session() as session:
            assert session.batches() == []


def test_more_unknown_peers_than_allowed_hinder_nobody(serve):
    server = serve(limits=Limits(max_unknown=5))
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(server.session())
        silent = [stack.enter_context(stranger(server)) for _ in range(20)]
        assert session.batches() == []
        with server.session() as newcomer:
            assert newcomer.batches() == []
        assert is_cut_off(silent[0])
        assert server.call(lambda: server.server.admission.unknown) <= 5


@pytest.fixture
def raw(server):
    """A connection that speaks farm's protocol, to say what `Session` would not."""
    opened = connect(server.address, KEY)
    greet(opened)

    def ask(request, number: int = 1):
        opened.write(codec.encode(number, request))
        return codec.decode_reply(opened.receive(time.monotonic() + PATIENCE))[1]

    ask.channel = opened
    yield ask
    opened.close()


SPEC = specs.encode(specs.Spec("b", specs.PythonCall("m:f")))


CALLS_A_FILE = specs.encode(specs.Spec("b", specs.PythonCall("m:f", "../m.py")))


def submission(**changes) -> Submit:
    values = {"token": "t", "name": "b", "total": 3, "options": Options(), "spec": SPEC}
    return Submit(**{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [{"total": -1}, {"total": 2**63}, {"token": ""}, {"name": ""}, {"name": "x" * 201},
     {"spec": b"\xc1"}, {"files": {"a": b""}}, {"digest": "0" * 64}, {"token": "plain-queue"},
     {"files": {"a": b""}, "digest": "0" * 64}, {"open": True},
     {"files": {"../a": b""}}, {"files": {"/a": b""}}, {"files": {"a": b"", "a/b": b""}},
     {"files": {"a" * 201: b""}}, {"spec": CALLS_A_FILE}],
    ids=str,
)  # fmt: skip
def test_a_submission_that_cannot_be_run_is_refused(raw, changes):
    assert raw(submission(**changes)).code == "bad-request"
    assert raw(ListBatches()).total == 0


def test_a_submission_that_comes_again_is_the_same_batch(raw):
    assert raw(submission()).batch == raw(submission()).batch == 1
    assert raw(submission(token="other")).batch == 2


@pytest.mark.parametrize(
    "request_",
    [
        GetOutcomes(1, 2**63),
        GetStatus("1", math.nan),
        GetStatus("1", -1.0),
        GetOutcomes(1, 0, math.nan),
    ],
    ids=str,
)
def test_odd_numbers_are_answered_and_service_goes_on(raw, session, request_):
    raw(submission())
    assert raw(request_) is not None
    assert session.status(1).total == 3


def test_seconds_that_are_no_duration_do_not_spoil_the_farm(raw):
    raw(submission())
    raw(Join("n", 1, [], "token"))
    odd = struct.pack("f", math.nan)
    raw(Report([Part(1, 0, 1, b"p", odd)], [], []))
    raw.channel.write(codec.encode(0, Want(1)))
    lease = codec.decode_reply(raw.channel.receive(time.monotonic() + PATIENCE))[1]
    assert lease.ranges == [(1, 2)]
    assert raw(GetStatus("1")).seconds == pytest.approx(0.0, abs=1e-6)
    assert isinstance(raw(Beat("another")), Refused)


def test_a_node_is_known_by_its_token(server, raw, node):
    there = node("there", 1).worker.id
    joined = raw(Join("back", 1, [], "another token"))
    assert joined.node != there
    again = raw(Join("back", 1, [], "another token"), 2)
    assert again.node == joined.node
    with server.session() as session:
        assert sorted(known.name for known in session.nodes()) == ["back", "there"]


def test_the_queue_of_plain_clients_is_not_closed_by_others(server, raw):
    tasks = in_process(server.port).get_task_queue()
    tasks.put(("m:f",))
    assert raw(Append(1, [], True)).code == "bad-request"
    assert tasks.put(("m:f",)) == 1


def test_the_wrong_key_is_told_from_no_server(server):
    with pytest.raises(FarmError, match="does not accept this key") as refusal:
        connect(server.address, b"x" * 32)
    assert refusal.value.exit_code == 4


def test_what_is_no_farm_server_is_told_so():
    with socket.create_server((HOST, 0)) as listener:
        address = Address(HOST, listener.getsockname()[1])
        with pytest.raises(FarmError, match="is not a farm server") as refusal:
            connect(address, KEY, seconds=0.2)
    assert refusal.value.exit_code == 3
    with pytest.raises(FarmError, match="no farm server answers at"):
        connect(address, KEY, seconds=0.2)


def test_a_node_that_the_server_does_not_take_says_why(server, node):
    with pytest.raises(RequestError, match="the server refused this node"):
        node("x" * 201)


def test_a_server_that_is_told_to_stop_before_it_serves_stops(data):
    made = manager.FarmManager((HOST, 0), KEY, data).get_server()
    made.stop()
    made.serve_forever()
    made.stop()


def test_a_port_that_is_in_use_is_refused(server, tmp_path):
    with pytest.raises(FarmError, match=r"cannot listen on .* Choose another with --port"):
        manager.FarmManager((HOST, server.port), KEY, tmp_path / "other").get_server()


def test_a_slow_reader_is_waited_for_and_one_that_does_not_read_is_cut_off(
    serve,
):
    server = serve(limits=Limits(send_timeout=0.5))
    session = server.session()
    opened = connect(server.address, KEY)
    greet(opened)
    try:
        raw_spec = specs.encode(specs.Spec("b", specs.PickledCall(b"x" * 30_000_000, "f", "3.11")))
        from farm.wire.messages import GetSpec

        session._link.call(submission(spec=raw_spec))
        opened.write(codec.encode(1, GetSpec(1)))
        admission = server.server.admission
        eventually(lambda: server.call(lambda: len(admission.connections)) == 1, "cut off")
        assert session.batches() != []
    finally:
        opened.close()
        session.close()


def test_a_peer_that_sends_on_while_it_waits_is_answered_in_order(serve, monkeypatch):
    server = serve(limits=Limits(max_requests=100_000))
    monkeypatch.setattr(connection, "PLAIN_FRAME", 1024)
    count = 20_000
    with Client((HOST, server.port), authkey=KEY) as client:
        client.send((None, "accept_connection", ("plain",), {}))
        assert client.recv() == ("#RETURN", None)
        client.send(("task_queue", "get", (True, 0.5), {}))
        sender = threading.Thread(
            target=lambda: [client.send(("task_queue", "qsize", (), {})) for _ in range(count)]
        )
        sender.start()
        buffered = []
        kind, error = client.recv()
        buffered += server.call(
            lambda: [peer._intake.reader.buffered for peer in server.server.admission.connections]
        )
        assert (kind, type(error)) == ("#ERROR", queue.Empty)
        assert {client.recv() for _ in range(count)} == {("#RETURN", 0)}
        sender.join(PATIENCE)
    assert max(buffered) < 1_000_000


def test_a_server_that_was_stopped_itself_gives_up_no_node(server, node, session, monkeypatch):
    node("a", 1)
    desk = server.server._service.desk
    ledger = server.server._core.ledger
    held = server.call(lambda: [desk._swept, *(n.heard for n in ledger.nodes.values())])

    def wake_up_late() -> int:
        """As if nothing had run for a minute."""
        desk._swept -= 60
        for known in ledger.nodes.values():
            known.heard -= 60
        desk.sweep()
        return len(desk._nodes)

    assert len(held) == 2
    assert server.call(wake_up_late) == 1
