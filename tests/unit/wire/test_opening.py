"""How opening a connection fails: each way with its own sentence and exit code."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from farm_harness import HOST, KEY, PATIENCE
from hypothesis import given
from hypothesis import strategies as st
from tls_handshake import at

from farm import certificates
from farm.authority import Authority
from farm.errors import (
    ConfigError,
    FarmError,
    NotAuthorisedError,
    ProtocolError,
    ServerUnreachableError,
)
from farm.wire import builtins, handshake, opening
from farm.wire.address import Address
from farm.wire.credentials import BY_CERTIFICATE, CertificateCredentials, KeyCredentials
from farm.wire.frames import FrameReader, header
from farm.wire.identity import FOR_CLIENT, server_context
from farm.wire.keyring import Key
from farm.wire.messages import PROTOCOL
from farm.wire.tunnel import Tunnel, TunnelError

Script = Callable[[socket.socket], None]


@contextlib.contextmanager
def answering(script: Script) -> Iterator[Address]:
    """Whoever connects meets a script."""

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(PATIENCE)
            with contextlib.suppress(OSError, ProtocolError):  # the client has given up
                script(sock)

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address(HOST, listener.getsockname()[1])
        finally:
            thread.join(PATIENCE)


def framed(*frames: bytes) -> bytes:
    return b"".join(header(len(frame)) + frame for frame in frames)


def says(data: bytes, *, waits: bool = True) -> Script:
    """A server that says something at once, and waits for the other's end."""

    def script(sock: socket.socket) -> None:
        sock.sendall(data)
        while waits and sock.recv(1 << 16):
            pass

    return script


def through(tunnel: Tunnel, data: bytes, sock: socket.socket) -> bytes:
    """What was said in a tunnel; what it answers goes out."""
    try:
        said, answer = tunnel.receive(data)
    except TunnelError as error:
        sock.sendall(error.farewell)
        raise
    sock.sendall(answer)
    return said


def serves(tunnel: Tunnel | None, *after: bytes, key: bytes = KEY) -> Script:
    """A server that goes through tunnel and challenge, and then says something."""

    def script(sock: socket.socket) -> None:
        reader, shake = FrameReader(), handshake.ServerHandshake([Key(key, "admin", "k")])

        def say(*frames: bytes) -> None:
            sock.sendall(tunnel.send(framed(*frames)) if tunnel else framed(*frames))

        def hear() -> None:
            if not (data := sock.recv(1 << 16)):
                raise ConnectionError("the client has given up")
            reader.feed(through(tunnel, data, sock) if tunnel else data)

        while tunnel is not None and not tunnel.established:
            hear()
        say(shake.begin())
        while not shake.complete:
            hear()
            while not shake.complete and (frame := reader.take()) is not None:
                try:
                    say(*shake.receive(frame))
                except handshake.KeyRefusedError:
                    say(handshake.FAILURE)
                    raise
        say(*after)
        while sock.recv(1 << 16):
            pass

    return script


def refused(script: Script, credentials=KEY, seconds: float = PATIENCE) -> FarmError:
    """The error that a connection ends with."""
    with answering(script) as address, pytest.raises(FarmError) as error:
        opening.connect(address, credentials, seconds=seconds)
    text = str(error.value)
    assert "\n" not in text
    assert str(address) in text
    return error.value


@pytest.fixture
def shown(template) -> CertificateCredentials:
    return CertificateCredentials(template, FOR_CLIENT)


# -- nobody, or somebody else -----------------------------------------------------------------


def test_where_nobody_listens():
    with socket.create_server((HOST, 0)) as listener:
        address = Address(HOST, listener.getsockname()[1])
    with pytest.raises(ServerUnreachableError, match=r"no farm server answers at .*: Connection"):
        opening.connect(address, KEY)


def test_a_name_that_cannot_be_one():
    with pytest.raises(ServerUnreachableError, match="no farm server answers at xxx"):
        opening.connect(Address("x" * 70, 7077), KEY)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "bytes; the limit is"),
        (b"\0\0\0\5hello", "it does not send a challenge"),
        (framed(b"#CHALLENGE#" + b"x" * 300), "a frame of 311 bytes before the peer is known"),
        (b"\xff\xff\xff\x00", "a frame of -256 bytes"),
    ],
)
def test_what_is_no_farm_server(data, why):
    error = refused(says(data))
    assert isinstance(error, ServerUnreachableError)
    assert "is not a farm server" in str(error)
    assert why in str(error)


@given(st.binary(max_size=300))
def test_whatever_it_says_there_is_a_sentence(data):
    error = refused(says(data, waits=False))
    assert error.exit_code in (3, 4)


def test_who_is_silent_or_hangs_up():
    assert "(no answer in time)" in str(refused(says(b""), seconds=0.05))
    assert "has closed the connection)" in str(refused(says(b"", waits=False)))
    assert "(no answer in time)" in str(
        refused(says(framed(handshake.CHALLENGE + b"x" * 20)), seconds=0.1)
    )


# -- a farm server that does not want this one ------------------------------------------------


def test_a_server_that_is_full_may_be_asked_again_later(shown):
    told = says(framed(handshake.refusal("busy", "it has 3 connections, and takes no more")))
    for credentials in (KEY, shown):
        error = refused(told, credentials)
        assert isinstance(error, ServerUnreachableError)
        assert str(error).endswith(
            "turned this connection away: it has 3 connections, and takes no more"
        )


def test_a_key_where_certificates_are_wanted():
    error = refused(says(framed(handshake.refusal("tls", "it speaks TLS: connect with --tls DIR"))))
    assert isinstance(error, NotAuthorisedError)
    assert str(error).endswith("away: it speaks TLS: connect with --tls DIR")


def test_who_was_too_slow_to_begin_with_tls_may_come_again(shown):
    """Else a node that was stopped in that second would end for good."""
    error = refused(says(framed(handshake.refusal("tls", "it speaks TLS: ..."))), shown)
    assert isinstance(error, ServerUnreachableError)
    assert "has not heard this end in time" in str(error)


def test_a_key_that_the_server_does_not_hold():
    error = refused(serves(None, key=b"x" * 32))
    assert isinstance(error, NotAuthorisedError)
    assert "does not accept this key. Use a key file of the server's" in str(error)
    assert str(error).endswith("If it was replaced there, copy the new one here.")


def test_a_server_that_does_not_hold_the_key_itself():
    script = says(framed(handshake.CHALLENGE + b"{sha256}" + b"x" * 40, handshake.WELCOME, b"y"))
    assert isinstance(refused(script), NotAuthorisedError)


@pytest.mark.parametrize(
    ("answer", "why"),
    [(("#ERROR", ValueError("this server speaks farm/9")), "this server speaks farm/9"),
     (("#TRACEBACK", "Traceback ..."), "Traceback ..."), (5, "5"), (("#RETURN", 1), "1")],
)  # fmt: skip
def test_a_server_of_another_protocol(answer, why):
    error = refused(serves(None, builtins.dumps(answer)))
    assert isinstance(error, ProtocolError)
    assert f"does not speak farm/{PROTOCOL}: {why}. Install the same version" in str(error)


def test_a_server_that_answers_with_garbage():
    error = refused(serves(None, b"garbage"))
    assert isinstance(error, ServerUnreachableError)


# -- tunnels ----------------------------------------------------------------------------------


def tunnel_of(identity: Path) -> Tunnel:
    return Tunnel(server_context(identity), server=True)


def test_a_certificate_where_there_is_no_tls(shown):
    error = refused(says(framed(handshake.CHALLENGE + b"{sha256}" + b"x" * 40)), shown)
    assert isinstance(error, ServerUnreachableError)  # it may be there the next time
    assert "does not speak TLS: leave out --tls (FARM_TLS)" in str(error)


def test_a_certificate_that_the_server_does_not_take(tls, shown):
    Authority.open(tls).revoke("admin")
    script = serves(tunnel_of(tls / "server"))
    error = refused(script, CertificateCredentials(tls, FOR_CLIENT))
    assert isinstance(error, NotAuthorisedError)
    assert "the certificate was revoked. If a new one was made in its place, copy" in str(error)
    assert "`farm keygen --tls DIR --role ROLE --name NAME`" in str(error)


def test_a_certificate_that_has_expired_is_to_be_made_anew(tls):
    Authority.open(tls, now=at(days=731)).issue("admin", "late")
    error = refused(serves(tunnel_of(tls / "server")), CertificateCredentials(tls / "late", ()))
    assert isinstance(error, NotAuthorisedError)
    assert "has expired. Where it was made, make a new one, `farm keygen --tls DIR" in str(error)
    assert "--rotate --name NAME`, and copy its directory here." in str(error)


def test_the_servers_own_certificate_where_a_clients_belongs(template):
    error = refused(
        serves(tunnel_of(template / "server")), CertificateCredentials(template / "server", ())
    )
    assert isinstance(error, NotAuthorisedError)
    assert "It is a server's: let --tls name another directory" in str(error)
    assert "client for clients and worker for nodes" in str(error)


@pytest.mark.parametrize("change", ["expires", "is revoked"])
def test_a_servers_certificate_that_is_not_valid_any_more_is_the_servers_matter(tls, change):
    if change == "expires":
        authority = Authority.open(tls, now=at(days=731))
        authority.issue("server", "s")
    else:
        authority = Authority.open(tls)
        authority.issue("server", "s")
        authority.revoke("s")
        shutil.copy(tls / "ca/crl.pem", tls / "admin")
    error = refused(serves(tunnel_of(tls / "s")), CertificateCredentials(tls / "admin", ()))
    assert isinstance(error, NotAuthorisedError)
    said = {"expires": "--rotate --name server`, and copy its directory to the server."}
    assert str(error).endswith(said.get(change, "was taken back: it needs another one."))


def test_a_server_that_this_end_does_not_take(template, tmp_path, shown):
    Authority.create(tmp_path / "other")
    error = refused(serves(tunnel_of(tmp_path / "other/server")), shown)
    assert isinstance(error, NotAuthorisedError)
    assert "its certificate is not accepted: " in str(error)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("SERVER", "work", "its certificate (s) has the role work"),
     ("SCHEME", "firm:", "its certificate names no role on a farm")],
)  # fmt: skip
def test_what_is_no_server_by_its_certificate(tls, monkeypatch, name, value, why):
    monkeypatch.setattr(certificates, name, value)
    Authority.open(tls).issue("work" if name == "SERVER" else "server", "s")
    error = refused(serves(tunnel_of(tls / "s")), CertificateCredentials(tls, FOR_CLIENT))
    assert isinstance(error, NotAuthorisedError)
    assert f"is no server: {why}" in str(error)


def test_what_a_server_says_of_a_certificate_without_a_use(template, shown):
    tunnel = tunnel_of(template / "server")

    def script(sock: socket.socket) -> None:
        while not tunnel.established:
            through(tunnel, sock.recv(1 << 16), sock)
        sock.sendall(tunnel.send(framed(handshake.refusal("certificate", "it has the role root"))))

    error = refused(script, shown)
    assert isinstance(error, NotAuthorisedError)
    assert str(error).endswith("turned this connection away: it has the role root")


def test_through_a_tunnel_the_challenge_has_nothing_to_prove(template, shown):
    good = builtins.dumps(("#RETURN", None))
    with answering(serves(tunnel_of(template / "server"), good, key=BY_CERTIFICATE)) as address:
        opening.connect(address, shown).close()


# -- what is shown ----------------------------------------------------------------------------


def test_what_is_shown_is_looked_up_for_each_connection():
    keys = iter([b"x" * 32, KEY])
    shown = KeyCredentials(lambda: next(keys))
    good = builtins.dumps(("#RETURN", None))
    assert isinstance(refused(serves(None, good), shown), NotAuthorisedError)
    with answering(serves(None, good)) as address:
        opening.connect(address, shown).close()


def test_what_cannot_be_shown_is_told_before_anything_is_connected():
    def unreadable() -> bytes:
        raise ConfigError("cannot read the key file")

    with pytest.raises(ConfigError, match="cannot read the key file"):
        opening.connect(Address("x" * 70, 1), KeyCredentials(unreadable))
