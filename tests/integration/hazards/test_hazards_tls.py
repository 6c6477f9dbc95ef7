"""Farm's half of hazard 2: certificates of both ends, and nothing beyond this machine without."""

from __future__ import annotations

import pickle
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import farm_tasks as tasks
import pytest
from farm_harness import HOST, KEY, PATIENCE, ServerThread, eventually
from stock import Stock, rest, send_frame

from farm.authority import Authority
from farm.client.link import Link
from farm.client.session import Session
from farm.errors import AddressError, FarmError
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
        eventually(lambda: pair not in between.pairs, "the server hangs up")
        with opened(tls, between.port) as another:
            assert another.status(batch.id).total == 1


def test_hazard_02_a_client_shows_nothing_to_a_server_of_another_authority(tls, serve, tmp_path):
    Authority.create(tmp_path / "other")
    for rogue in (serve(), serve(tls=tmp_path / "other" / "server")):
        with pytest.raises(FarmError, match=r"does not speak TLS|its certificate is not accepted"):
            opened(tls, rogue.port)
        assert known(rogue) == 0


def known(server: ServerThread) -> int:
    """How many peers have come in."""
    admission = server.server.admission
    return server.call(lambda: len(admission.connections) - admission.unknown)


def test_hazard_02_nor_to_a_member_who_would_like_to_be_the_server(tls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "worker" / "identity.pem")

    def pretend(client: socket.socket) -> bytes:
        try:
            with context.wrap_socket(client, server_side=True) as tunnel:
                return tunnel.recv(4096)
        except OSError:  # an SSLError is one
            return b""

    assert heard_by(pretend, tls, "certificate") == b""


def test_hazard_02_a_client_answers_no_challenge_of_a_stranger(tls):
    """What opens a stock client's own server to a stranger gets a greeting of TLS instead."""

    def challenge(client: socket.socket) -> bytes:
        send_frame(client, b"#CHALLENGE#{sha256}" + b"x" * 40)
        return rest(client)

    said = heard_by(challenge, tls, "does not speak TLS")
    assert said.startswith(b"\x16\x03"), "a ClientHello (RFC 8446)"


def heard_by(rogue: Callable[[socket.socket], bytes], tls: Path, refusal: str) -> bytes:
    """What a rogue server hears of a client, who refuses it."""
    heard = []

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.settimeout(PATIENCE)
            heard.append(rogue(client))

    with socket.create_server((HOST, 0)) as listener:
        listening = Thread(target=serve)
        listening.start()
        with pytest.raises(FarmError, match=refusal):
            opened(tls, listener.getsockname()[1])
        listening.join(PATIENCE)
    return heard[0]


def test_hazard_02_nobody_is_challenged_outside_the_tunnel(tls, serve):
    server = serve(tls=tls / "server")
    with socket.create_connection(server.address, timeout=PATIENCE) as plain:
        send_frame(plain, b"#CHALLENGE#" + b"x" * 20)
        said = rest(plain)
    assert b"#CHALLENGE#" not in said
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
