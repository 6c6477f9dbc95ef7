"""Two tunnels that talk: whatever is cut, changed, lost or no TLS at all on the way."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tls_handshake import at, twin_of

from farm.authority import Authority
from farm.certificates import Signer
from farm.wire.identity import client_context, server_context
from farm.wire.tunnel import Tunnel, TunnelError, reason_of

SERVER = cache(server_context)
CLIENT = cache(client_context)


def ends(template: Path) -> tuple[Tunnel, Tunnel]:
    """A client's end and a server's, before a word was said."""
    return (
        Tunnel(CLIENT(template / "worker"), server=False),
        Tunnel(SERVER(template / "server"), server=True),
    )


def talk(client: Tunnel, server: Tunnel) -> dict[str, str]:
    """Let two ends shake hands; why an end gave up, by its name."""
    refusals: dict[str, str] = {}
    data, (name, other) = client.begin(), ("server", "client")
    both = {"client": client, "server": server}
    while data and name not in refusals:
        try:
            _, data = both[name].receive(data)
        except TunnelError as error:
            refusals[name], data = str(error), error.farewell
        name, other = other, name
    return refusals


def established(template: Path) -> tuple[Tunnel, Tunnel]:
    client, server = ends(template)
    assert talk(client, server) == {}
    assert client.established
    assert server.established
    return client, server


def cut(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    """A stream in pieces that begin at ``cuts``."""
    at = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:stop] for start, stop in itertools.pairwise(at)]


FEW = settings(max_examples=40)  # each is a handshake, or two
CUTS = st.lists(st.integers(0, 2**20), max_size=12)


# -- what gets through ------------------------------------------------------------------------


@FEW
@given(st.lists(st.binary(max_size=300), max_size=6), CUTS, st.booleans())
def test_any_split_of_the_bytes_gives_the_same_words(template, said, cuts, upwards):
    near, far = established(template) if upwards else reversed(established(template))
    stream = b"".join(near.send(words) for words in said)
    heard = [far.receive(piece) for piece in cut(stream, cuts)]
    assert b"".join(words for words, _ in heard) == b"".join(said)
    assert {answer for _, answer in heard} <= {b""}


@FEW
@given(CUTS)
def test_any_split_of_the_handshake_makes_a_tunnel(template, cuts):
    client, server = ends(template)
    data, far, near = client.begin(), server, client
    while data:
        data = b"".join(far.receive(piece)[1] for piece in cut(data, cuts))
        far, near = near, far
    assert client.established
    assert server.established
    assert server.receive(client.send(b"hello"))[0] == b"hello"


def test_both_may_talk_at_once(template):
    client, server = established(template)
    up, down = client.send(b"up"), server.send(b"down")
    assert (server.receive(up), client.receive(down)) == ((b"up", b""), (b"down", b""))


def test_many_megabytes_get_through(template):
    client, server = established(template)
    words = bytes(range(256)) * 40_000
    stream = client.send(words)
    assert len(stream) > len(words)
    assert words[:100] not in stream
    heard = bytearray()
    for start in range(0, len(stream), 256 * 1024):
        heard += server.receive(stream[start : start + 256 * 1024])[0]
    assert heard == words


def test_each_end_knows_the_others_certificate(template):
    client, server = established(template)
    assert ("URI", "farm:work") in server.peer()["subjectAltName"]
    assert ("URI", "farm:server") in client.peer()["subjectAltName"]


def test_before_the_handshake_nobody_is_known(template):
    client, server = ends(template)
    assert not client.established
    assert not server.established
    assert server.begin() == b""
    with pytest.raises(TunnelError):
        server.send(b"to nobody")


# -- what does not ----------------------------------------------------------------------------


@FEW
@given(st.binary(min_size=1, max_size=300), st.booleans())
def test_garbage_is_refused_or_waited_for_and_never_believed(template, data, to_server):
    client, server = ends(template)
    end = server if to_server else client
    end.begin()
    with contextlib.suppress(TunnelError):
        assert end.receive(data) == (b"", b"")
    assert not end.established


@FEW
@given(st.binary(min_size=1, max_size=300), st.integers(0, 2**20), st.booleans())
def test_what_was_changed_on_the_way_is_not_believed(template, words, place, to_server):
    near, far = established(template) if to_server else reversed(established(template))
    stream = bytearray(near.send(words))
    stream[place % len(stream)] ^= 1 + place % 255
    with contextlib.suppress(TunnelError):  # or it is taken for the beginning of more
        assert far.receive(bytes(stream)) == (b"", b"")
        assert far.receive(near.send(words)) == (b"", b"")


@FEW
@given(st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=4), st.integers(0, 2**20))
def test_of_what_was_cut_off_the_whole_beginning_is_heard(template, said, place):
    client, server = established(template)
    stream = b"".join(client.send(words) for words in said)
    heard, _ = server.receive(stream[: place % len(stream)])
    whole = [b"".join(said[:count]) for count in range(len(said))]
    assert heard in whole


def test_after_its_goodbye_nothing_of_a_peer_is_kept(template):
    client, server = established(template)
    last = client.send(b"last words")
    with contextlib.suppress(ssl.SSLWantReadError):  # it would wait for the other's goodbye
        client._ssl.unwrap()
    goodbye = client._outgoing.read()
    assert server.receive(last + goodbye + b"more") == (b"last words", b"")
    for _ in range(10):
        assert server.receive(b"\0" * 100_000) == (b"", b"")
    assert server._incoming.pending == 0
    assert client.receive(server.send(b"goodbye to you"))[0] == b"goodbye to you"


def test_one_that_is_broken_stays_broken(template):
    client, server = established(template)
    stream = bytearray(client.send(b"words"))
    stream[-1] ^= 1
    with pytest.raises(TunnelError, match="bad record mac") as broken:
        server.receive(bytes(stream))
    assert broken.value.is_tls
    with pytest.raises(TunnelError):
        client.receive(broken.value.farewell)
    for end in (client, server):
        with pytest.raises(TunnelError):
            end.send(b"more")


# -- why --------------------------------------------------------------------------------------


def identity(tls: Path, kind: str) -> Path:
    """A directory with a certificate that a server of ``tls`` does not take."""
    authority, past, early = Authority.open(tls), at(days=731), at(minutes=-70)
    match kind:
        case "expired":
            Authority.open(tls, now=past).issue("work", kind)
        case "early":
            Authority.open(tls, now=early).issue("work", kind)
        case "revoked":
            authority.issue("work", kind)
            authority.revoke(kind)
        case "foreign":
            Authority.create(tls / "others")
            shutil.copytree(tls / "others/worker", tls / kind)
            shutil.copy(tls / "ca/cert.pem", tls / kind / "ca.pem")  # it trusts this server
        case "self-signed":
            own = Signer.new(datetime.now(UTC))
            shutil.copytree(tls / "worker", tls / kind)
            (tls / kind / "identity.pem").write_bytes(own.certificate_pem + own.key_pem)
    return tls / kind


NOT_ACCEPTED = "its certificate is not accepted: "
ELSEWHERE = "the certificate is of another authority, or of none"


@pytest.mark.parametrize(
    ("kind", "servers", "clients"),
    [
        ("expired", "certificate has expired", "the certificate has expired"),
        ("early", "certificate is not yet valid",
         "the certificate is damaged, or not valid yet"),
        ("revoked", "certificate revoked", "the certificate was revoked"),
        ("foreign", "unable to get local issuer certificate", ELSEWHERE),
        ("self-signed", "self-signed certificate", ELSEWHERE),
        ("server", "unsuitable certificate purpose", "the certificate is not for this use"),
    ],
)  # fmt: skip
def test_both_ends_say_why_a_client_is_not_taken(tls, kind, servers, clients):
    shown = identity(tls, kind)
    client, server = (
        Tunnel(client_context(shown), server=False),
        Tunnel(server_context(tls / "server"), server=True),
    )
    assert talk(client, server) == {"server": NOT_ACCEPTED + servers, "client": clients}
    assert not server.established


@pytest.mark.parametrize(
    ("kind", "clients", "servers"),
    [
        ("worker", "unsuitable certificate purpose", "the certificate is not for this use"),
        ("foreign", "unable to get local issuer certificate", ELSEWHERE),
    ],
)
def test_both_ends_say_why_a_server_is_not_taken(tls, kind, clients, servers):
    shown = identity(tls, kind)
    client, server = (
        Tunnel(client_context(tls / "client"), server=False),
        Tunnel(server_context(shown), server=True),
    )
    assert talk(client, server) == {"client": NOT_ACCEPTED + clients, "server": servers}
    assert not client.established


def test_an_authority_that_took_the_name_of_another_is_told_from_it(tls, tmp_path):
    twin_of(tls, tmp_path / "twin")
    shutil.copy(tls / "ca/cert.pem", tmp_path / "twin/worker/ca.pem")
    client, server = (
        Tunnel(client_context(tmp_path / "twin/worker"), server=False),
        Tunnel(server_context(tls / "server"), server=True),
    )
    refusals = talk(client, server)
    assert refusals["server"].startswith(NOT_ACCEPTED)
    assert refusals["client"].startswith("the certificate is of another authority")


def stranger(**wanted: object) -> ssl.SSLContext:
    """A client without a certificate, which takes any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, value in wanted.items():
        setattr(context, name, value)
    return context


@pytest.mark.parametrize(
    ("wanted", "servers", "clients"),
    [
        ({}, "it shows no certificate", "it asks for a certificate, and none was shown"),
        ({"maximum_version": ssl.TLSVersion.TLSv1_2},
         "the other end does not speak TLS 1.3", "the other end does not speak TLS 1.3"),
    ],
)  # fmt: skip
def test_both_ends_say_what_a_stranger_lacks(template, wanted, servers, clients):
    client, server = Tunnel(stranger(**wanted), server=False), ends(template)[1]
    assert talk(client, server) == {"server": servers, "client": clients}


@pytest.mark.parametrize(
    "words",
    [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\0\x10" + b"x" * 16,
     b"\0\0\0\x34#CHALLENGE#{sha256}" + b"x" * 40, b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x"],
)  # fmt: skip
def test_what_is_no_tls_is_told_so(template, words):
    for end in ends(template):
        end.begin()
        with pytest.raises(TunnelError, match=r"^the other end does not speak TLS$") as refusal:
            end.receive(words)
        assert not refusal.value.is_tls


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("SSLV3_ALERT_BAD_RECORD_MAC", "sslv3 alert bad record mac"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "it asks for a certificate, and none was shown"),
        ("ssl/tls alert certificate revoked", "the certificate was revoked"),  # OpenSSL 3.2
        (None, "eof occurred in violation of protocol"),
    ],
)
def test_openssls_reasons_are_in_words(reason, text):
    error = ssl.SSLError(8, "EOF occurred in violation of protocol (_ssl.c:2427)")
    error.reason = reason
    assert reason_of(error) == text
