"""Certificates at a real server: who comes in, who does not, and what each end is told of it."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import AuthenticationError
from pathlib import Path

import pytest
from farm_harness import KEY, PATIENCE, ServerThread, eventually
from plain_scripts import in_process
from tls_handshake import at, twin_of

from farm.authority import Authority
from farm.certificates import Signer
from farm.errors import ConfigError, NotAuthorisedError, ServerUnreachableError
from farm.server import complaints, connection
from farm.wire import identity
from farm.wire.credentials import BY_CERTIFICATE, CertificateCredentials
from farm.wire.opening import connect
from farm.wire.roles import ROLES


@dataclass
class Served:
    """A server with certificates, which all of these tests share.

    Args:
        tls: the directory of the authority.
        server: it.
    """

    tls: Path
    server: ServerThread


@pytest.fixture(scope="module")
def served(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    tls = Path(shutil.copytree(template, directory / "tls"))
    authority = Authority.open(tls)
    for role in ROLES:
        authority.issue(role, f"a-{role}")
    Authority.open(tls, now=at(days=731)).issue("work", "expired")
    authority.issue("work", "revoked")
    authority.revoke("revoked")
    strangers(tls)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(complaints, "PER_MINUTE", 1000)  # about this machine, in all these tests
        server = ServerThread(directory / "data", tls=tls / "server")
        yield Served(tls, server)
        server.stop()


def strangers(tls: Path) -> None:
    """Certificates of other authorities, whose holders trust the server all the same."""
    Authority.create(tls / "others")
    twin_of(tls, tls / "twins")
    for name in ("others", "twins"):
        shutil.copy(tls / "ca/cert.pem", tls / name / "worker/ca.pem")
    own = Signer.new(datetime.now(UTC))
    shutil.copytree(tls / "worker", tls / "self-signed")
    (tls / "self-signed/identity.pem").write_bytes(own.certificate_pem + own.key_pem)


def shown(directory: Path) -> CertificateCredentials:
    return CertificateCredentials(directory, ())


def is_about_a_peer(line: str) -> bool:
    return re.match(r"127\.0\.0\.1:\d+: ", line) is not None


# -- who comes in -----------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_who_has_a_certificate_comes_in_with_its_role(served, asker, log, role):
    peer = asker(served.server, shown(served.tls / f"a-{role}"))
    assert peer.welcome.role == role
    assert log.lines == []


# -- who does not -----------------------------------------------------------------------------

NOT_ACCEPTED = "refused: its certificate is not accepted: "
ELSEWHERE = "the certificate is of another authority"


@pytest.mark.parametrize(
    ("identity", "told", "logged"),
    [
        ("expired", "the certificate has expired", NOT_ACCEPTED + "certificate has expired"),
        ("revoked", "the certificate was revoked", NOT_ACCEPTED + "certificate revoked"),
        ("others/worker", ELSEWHERE, NOT_ACCEPTED),
        ("twins/worker", ELSEWHERE, NOT_ACCEPTED),
        ("self-signed", ELSEWHERE, NOT_ACCEPTED + "self-signed certificate"),
        ("server", "the certificate is not for this use", NOT_ACCEPTED + "unsuitable"),
    ],
)
def test_both_ends_are_told_why_a_certificate_is_not_taken(served, log, identity, told, logged):
    with pytest.raises(NotAuthorisedError) as error:
        connect(served.server.address, shown(served.tls / identity))
    text = str(error.value)
    assert f"{served.server.address}: {told}" in text
    assert "\n" not in text
    assert is_about_a_peer(log.wait(logged))
    assert len(log.lines) == 1


Talk = Callable[[socket.socket], object]


def raw(served: Served, talk: Talk) -> str:
    """Talk to the server over a socket; the address by which it knows this end."""
    with socket.create_connection(served.server.address, timeout=PATIENCE) as sock:
        name = "{}:{}".format(*sock.getsockname())
        talk(sock)
        return name


def stranger(**wanted: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, value in wanted.items():
        setattr(context, name, value)
    return context


def without_certificate(sock: socket.socket) -> None:
    with stranger().wrap_socket(sock) as tunnel, pytest.raises(ssl.SSLError) as error:
        tunnel.recv(1)  # the handshake of a TLS 1.3 client is over before it is refused
    assert "CERTIFICATE_REQUIRED" in str(error.value)


def of_tls_1_2(sock: socket.socket) -> None:
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        stranger(maximum_version=ssl.TLSVersion.TLSv1_2).wrap_socket(sock)


def browser(sock: socket.socket) -> None:
    sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        assert sock.recv(4096) == b""


@pytest.mark.parametrize(
    ("talk", "logged"),
    [
        (without_certificate, "refused: it shows no certificate"),
        (of_tls_1_2, "refused: the other end does not speak TLS 1.3"),
        (browser, "refused: the other end does not speak TLS"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_strangers_are_refused_with_a_line_that_names_them(served, log, talk, logged):
    assert raw(served, talk) + f": {logged}" == log.wait(logged)
    assert len(log.lines) == 1


@pytest.fixture
def impatient(monkeypatch) -> None:
    """Who says nothing is told sooner that TLS is spoken."""
    monkeypatch.setattr(connection, "HINT_SECONDS", 0.05)


def test_a_key_is_told_that_a_certificate_is_wanted(served, log, impatient):
    with pytest.raises(NotAuthorisedError, match=r"it speaks TLS: connect with --tls DIR") as error:
        connect(served.server.address, KEY)
    assert str(served.server.address) in str(error.value)
    assert is_about_a_peer(log.wait("turned away: it speaks TLS"))
    assert len(log.lines) == 1


def test_so_is_a_plain_client(served, log, impatient):
    # An AssertionError in Python 3.11.
    with pytest.raises((AuthenticationError, AssertionError), match="it speaks TLS: connect with"):
        in_process(served.server.port)
    assert is_about_a_peer(log.wait("turned away: it speaks TLS"))


def test_what_is_said_of_a_certificate_is_no_key(served, log, impatient):
    """Every peer knows the key of the challenge in the tunnel: outside of it, it opens nothing."""
    with pytest.raises(NotAuthorisedError, match="it speaks TLS"):
        connect(served.server.address, BY_CERTIFICATE)


def test_a_server_with_keys_does_not_take_that_one_either(serve, log):
    server = serve()
    with pytest.raises(NotAuthorisedError, match="does not accept this key"):
        connect(server.address, BY_CERTIFICATE)
    assert is_about_a_peer(log.wait("refused: the peer does not hold a key of this server"))


def test_a_certificate_shown_to_a_server_with_keys(serve, served, log):
    server = serve()
    with pytest.raises(
        ServerUnreachableError, match=r"does not speak TLS: leave out --tls"
    ) as error:
        connect(server.address, shown(served.tls / "admin"))
    assert str(server.address) in str(error.value)
    assert is_about_a_peer(log.wait("cut off: it speaks TLS, and this server does not"))


def test_a_nodes_certificate_cannot_pose_as_the_servers(serve, served, log, monkeypatch):
    with pytest.raises(ConfigError, match=r"cannot be a server's: .* unsuitable"):
        serve(tls=served.tls / "worker")
    # Who poses does not run this check.
    shutil.copy(served.tls / "server/crl.pem", served.tls / "worker")
    monkeypatch.setattr(identity, "check_server", lambda *_: None)
    server = serve(tls=served.tls / "worker")
    with pytest.raises(NotAuthorisedError, match="unsuitable certificate purpose"):
        connect(server.address, shown(served.tls / "admin"))
    assert is_about_a_peer(log.wait("refused: the certificate is not for this use"))


def test_nobody_is_left_of_all_these(served, asker):
    asker(served.server, shown(served.tls / "a-admin"))
    admission = served.server.server.admission
    eventually(lambda: served.server.call(lambda: len(admission.connections)) == 1, "all are gone")
