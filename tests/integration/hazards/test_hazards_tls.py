"""Farm's half of hazard 2: certificates of both ends, and nothing beyond this machine without."""

from __future__ import annotations

import pickle
import socket
from multiprocessing import AuthenticationError
from pathlib import Path
from threading import Thread

import farm_tasks as tasks
import pytest
from farm_harness import HOST, KEY, PATIENCE, ServerThread, eventually
from stock import Stock, ask, rest, send_frame

from farm.authority import Authority
from farm.client.link import Link
from farm.client.session import Session
from farm.errors import AddressError, FarmError, NotAuthorisedError
from farm.server.manager import FarmManager
from farm.wire.address import Address
from farm.wire.credentials import CertificateCredentials
from farm.wire.identity import FOR_CLIENT

SECRET = "account 4711, password hunter2"  # noqa: S105 - what is sent, and looked for in what travels


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority with its first certificates."""
    pytest.importorskip("cryptography", reason="certificates are made with farm[tls]")
    directory = tmp_path_factory.mktemp("authority") / "tls"
    Authority.create(directory)
    return directory


def opened(tls: Path, port: int) -> Session:
    """A session of who has a certificate."""
    return Session(Link(Address(HOST, port), CertificateCredentials(tls, FOR_CLIENT)))


def test_hazard_02_nothing_of_farm_is_read_or_changed_on_its_way(tls, serve, relay):
    server = serve(tls=tls / "server")
    between = relay(server.port)
    with opened(tls, between.port) as session:
        batch = session.submit(tasks.double, [{"x": SECRET}], name=SECRET)
        assert session.status(batch.id).name == SECRET, "it has been there and back"
        assert not between.has_read(SECRET.encode())
        assert not between.has_read(b"#CHALLENGE#")
        # Who is in between adds a request of its own: the same as with the stock server.
        [pair] = between.pairs
        between.inject(pair, pickle.dumps((None, "create", ("get_task_queue",), {})))
        eventually(lambda: between.pairs - {pair}, "the server hangs up, the client comes back")
        assert session.status(batch.id).total == 1


def test_hazard_02_a_client_shows_nothing_to_who_is_no_server_of_its_own(tls, serve, tmp_path):
    Authority.create(tmp_path / "other")
    for rogue in (
        serve(),
        serve(tls=tmp_path / "other" / "server"),
        serve(tls=tls / "worker"),  # a member, who would like to be the server
    ):
        with pytest.raises(NotAuthorisedError):
            opened(tls, rogue.port)
        assert known(rogue) == 0


def known(server: ServerThread) -> int:
    """How many peers have come in."""
    admission = server.server.admission
    return server.call(lambda: len(admission.connections) - admission.unknown)


def test_hazard_02_a_client_answers_no_challenge_of_a_stranger(tls):
    """The rogue server that a stock client opens its own server for gets a greeting of TLS."""
    heard = []

    def challenge() -> None:
        client, _ = rogue.accept()
        with client:
            client.settimeout(PATIENCE)
            send_frame(client, b"#CHALLENGE#{sha256}" + b"x" * 40)
            heard.append(rest(client))

    with socket.create_server((HOST, 0)) as rogue:
        listening = Thread(target=challenge)
        listening.start()
        with pytest.raises(FarmError, match="does not speak TLS"):
            opened(tls, rogue.getsockname()[1])
        listening.join(PATIENCE)
    assert heard[0].startswith(b"\x16\x03"), "a ClientHello (RFC 8446)"


def test_hazard_02_who_has_a_key_alone_does_not_come_in(tls, serve):
    server = serve(tls=tls / "server")
    with pytest.raises((AuthenticationError, AssertionError, EOFError, ConnectionError)):
        ask(server.port, "dummy")
    assert known(server) == 0


def test_hazard_02_a_network_is_not_served_without_certificates(tls, data):
    everywhere = ("0.0.0.0", 0)
    open_to_all = Stock(everywhere, authkey=KEY).get_server()
    open_to_all.listener.close()
    with pytest.raises(AddressError):
        FarmManager(everywhere, KEY, data).get_server()
    server = FarmManager(everywhere, KEY, data, tls=tls / "server").get_server()
    server.stop()
    server.serve_forever()
