"""Who is let in, as what, and what becomes of it when key files and certificates change."""

from __future__ import annotations

import logging
import shutil
from types import SimpleNamespace
from typing import Any

import pytest
from tls_handshake import at, twin_of

from farm.authority import Authority
from farm.errors import ConfigError, ProtocolError
from farm.server.door import KeyDoor, Pass, TlsDoor
from farm.wire import keyfiles
from farm.wire.credentials import BY_CERTIFICATE
from farm.wire.handshake import WELCOME, KeyRefusedError, _Mailbox
from farm.wire.handshake import stdlib as standard
from farm.wire.identity import client_context
from farm.wire.keyring import Key, Keyring
from farm.wire.revoked import numbers_of
from farm.wire.tunnel import Tunnel, TunnelError


@pytest.fixture
def base(tmp_path):
    """The key files of a server: the admin's, and one for nodes."""
    for path in (tmp_path / "authkey", tmp_path / "authkey.work"):
        keyfiles.make_key(path)
    return tmp_path / "authkey"


@pytest.fixture
def clock():
    return SimpleNamespace(now=100.0)


@pytest.fixture
def door(base, clock):
    return KeyDoor(Keyring.beside(base), lambda: clock.now)


def secret(path) -> bytes:
    return path.read_bytes().strip()


def come(door: KeyDoor, key: bytes) -> Pass:
    """Come in with a key."""
    handshake = door.handshake()
    box: Any = _Mailbox([handshake.begin(), WELCOME])
    standard.answer_challenge(box, key)
    assert handshake.receive(box.outgoing[0]) == [WELCOME]
    return door.admit(handshake, None)


# -- keys -------------------------------------------------------------------------------------


def test_there_is_no_tunnel_where_keys_are_held(door):
    assert door.tunnel() is None


def test_each_key_lets_in_as_what_its_file_says(door, base):
    admin, work = secret(base), secret(base.with_name("authkey.work"))
    assert come(door, admin) == Pass("admin", "authkey", Key(admin, "admin", "authkey"))
    assert (come(door, work).role, come(door, work).holder) == ("work", "authkey.work")
    with pytest.raises(KeyRefusedError):
        come(door, b"x" * 32)


def test_a_key_that_was_made_a_moment_ago_lets_in(door, base):
    path = base.with_name("authkey.submit.alice")
    keyfiles.make_key(path)
    assert come(door, secret(path)).holder == "authkey.submit.alice"


def test_a_stranger_does_not_keep_the_server_reading(door, base, clock, monkeypatch):
    looked = []
    refresh = Keyring.refresh
    monkeypatch.setattr(Keyring, "refresh", lambda ring: looked.append(1) or refresh(ring))
    for _ in range(50):
        with pytest.raises(KeyRefusedError):
            come(door, b"x" * 32)
    assert len(looked) == 1
    clock.now += 0.11
    keyfiles.make_key(base.with_name("authkey.view"))
    assert come(door, secret(base.with_name("authkey.view"))).role == "view"
    assert len(looked) == 2


def test_passes_hold_as_long_as_their_keys(door, base):
    work = base.with_name("authkey.work")
    admins, before = come(door, secret(base)), come(door, secret(work))
    keyfiles.rotate(work)
    holds = door.refresh()
    after = come(door, secret(work))
    assert before.holder == "authkey.work"
    assert [holds(held) for held in (admins, before)] == [True, True]
    keyfiles.withdraw(work)
    holds = door.refresh()
    assert [holds(held) for held in (admins, before, after)] == [True, False, True]


def test_a_key_that_got_another_role_lets_in_anew(door, base):
    before = come(door, secret(base.with_name("authkey.work")))
    base.with_name("authkey.work").rename(base.with_name("authkey.submit"))
    assert not door.refresh()(before)
    assert come(door, before.key.secret).role == "submit"


def test_a_change_that_a_newcomer_brought_to_light_makes_passes_void_too(door, base):
    """It was seen for the sake of an unknown key; the next look finds nothing new."""
    before = come(door, secret(base.with_name("authkey.work")))
    base.with_name("authkey.work").unlink()
    with pytest.raises(KeyRefusedError):
        come(door, b"x" * 32)
    assert not door.refresh()(before)


# -- certificates -----------------------------------------------------------------------------


ANYBODY = Pass("work", "certificate worker")
NAMES = ("older", "latest")


def shake_hands(door: TlsDoor, identity) -> Tunnel:
    """The server's end of a tunnel with the holder of a certificate."""
    client, server = Tunnel(client_context(identity), server=False), door.tunnel()
    data = client.begin()
    while data:
        data = client.receive(server.receive(data)[1])[1]
    return server


def test_who_has_a_certificate_comes_in_as_what_it_says(tls):
    door = TlsDoor(tls / "server")
    for name, role in (("worker", "work"), ("client", "submit"), ("admin", "admin")):
        tunnel = shake_hands(door, tls / name)
        door.check(tunnel)
        held = door.admit(door.handshake(), tunnel)
        assert (held.role, held.holder) == (role, f"certificate {name}")


def test_the_challenge_in_a_tunnel_has_nothing_to_prove(tls):
    handshake = TlsDoor(tls / "server").handshake()
    box: Any = _Mailbox([handshake.begin(), WELCOME])
    standard.answer_challenge(box, BY_CERTIFICATE)
    assert handshake.receive(box.outgoing[0]) == [WELCOME]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["farm:server"], r"its certificate \(n\) has the role server: no client has that"),
        (["farm:root"], "has the role root: no client has that"),
        ([], "names no role on a farm"),
        (["farm:work", "farm:admin"], "names no role on a farm"),
        (["https://farm"], "names no role on a farm"),
    ],
)
def test_a_certificate_without_a_role_lets_nobody_in(tls, names, why):
    shown = {"subject": ((("commonName", "n"),),), "subjectAltName": [("URI", n) for n in names]}
    tunnel: Any = SimpleNamespace(peer=lambda: shown)
    with pytest.raises(ProtocolError, match=why):
        TlsDoor(tls / "server").check(tunnel)


def test_passes_hold_as_long_as_no_file_changes(tls):
    door = TlsDoor(tls / "server")
    shake_hands(door, tls / "worker")
    assert door.refresh()(ANYBODY)


@pytest.mark.parametrize("change", ["revoke", "renew"])
def test_after_a_change_all_come_in_anew(tls, caplog, change):
    door = TlsDoor(tls / "server")
    tunnel = shake_hands(door, tls / "worker")
    held = door.admit(door.handshake(), tunnel)
    getattr(Authority.open(tls), change)("client" if change == "revoke" else "server")
    holds = door.refresh()
    assert not holds(held)
    assert door.refresh()(ANYBODY)
    again = shake_hands(door, tls / "worker")
    assert door.admit(door.handshake(), again).role == "work"
    assert [r.levelno for r in caplog.records] == [logging.WARNING]


def test_what_was_revoked_does_not_come_in_again(tls):
    door = TlsDoor(tls / "server")
    shake_hands(door, tls / "worker")
    Authority.open(tls).revoke("worker")
    assert not door.refresh()(ANYBODY)
    with pytest.raises(TunnelError, match="revoked"):
        shake_hands(door, tls / "worker")


def test_who_was_on_the_way_in_when_it_was_revoked_does_not_come_in(tls):
    door = TlsDoor(tls / "server")
    handshake, tunnel = door.handshake(), shake_hands(door, tls / "worker")
    door.check(tunnel)
    Authority.open(tls).revoke("worker")
    assert not door.refresh()(ANYBODY)
    with pytest.raises(ProtocolError, match="have changed since it connected"):
        door.admit(handshake, tunnel)


def test_where_the_files_cannot_be_read_the_former_ones_stay_until_they_can(tls, caplog):
    door = TlsDoor(tls / "server")
    tunnel = shake_hands(door, tls / "worker")
    Authority.open(tls).revoke("client")
    revoked = tls / "server/crl.pem"
    shutil.copy(revoked, tls / "kept.pem")
    revoked.write_text("half of it")
    for _ in range(3):
        assert door.refresh()(ANYBODY)
    [told] = caplog.records
    assert told.levelno == logging.ERROR
    assert told.exc_info is None
    assert "crl.pem" in told.getMessage()
    assert door.admit(door.handshake(), tunnel).role == "work"
    assert door.admit(door.handshake(), shake_hands(door, tls / "client")).role == "submit"
    shutil.copy(tls / "kept.pem", revoked)
    assert not door.refresh()(ANYBODY)
    with pytest.raises(TunnelError, match="revoked"):
        shake_hands(door, tls / "client")


def test_what_cannot_be_read_for_a_moment_is_read_a_moment_later(tls, monkeypatch, caplog):
    """The process had no descriptor left, say: no file has changed since."""
    door = TlsDoor(tls / "server")
    Authority.open(tls).revoke("worker")
    with monkeypatch.context() as patched:

        def fails(_directory):
            raise ConfigError("cannot use it: Too many open files")

        patched.setattr("farm.wire.identity.server_context", fails)
        assert door.refresh()(ANYBODY)
    assert not door.refresh()(ANYBODY)


def test_a_server_does_not_begin_with_certificates_that_it_cannot_use(tls):
    (tls / "server/identity.pem").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        TlsDoor(tls / "server")


def test_a_server_does_not_begin_without_a_list_of_what_was_revoked(tls):
    (tls / "server/crl.pem").unlink()
    with pytest.raises(ConfigError, match=r"there is no crl.pem in .*server, the list of what was"):
        TlsDoor(tls / "server")


@pytest.mark.parametrize("link", [False, True])
def test_who_takes_the_list_away_lets_nobody_in_again(tls, link):
    Authority.open(tls).revoke("worker")
    door, revoked = TlsDoor(tls / "server"), tls / "server/crl.pem"
    revoked.unlink()
    if link:
        revoked.symlink_to(tls / "nowhere")
    assert door.refresh()(ANYBODY)
    with pytest.raises(TunnelError, match="revoked"):
        shake_hands(door, tls / "worker")


def test_an_older_list_is_refused_and_what_was_revoked_stays_out(tls, caplog):
    revoked = tls / "server/crl.pem"
    shutil.copy(revoked, tls / "older.pem")
    Authority.open(tls).revoke("worker")
    shutil.copy(revoked, tls / "latest.pem")
    (before,), (now,) = (numbers_of((tls / f"{name}.pem").read_bytes()).values() for name in NAMES)
    door = TlsDoor(tls / "server")
    shutil.copy(tls / "older.pem", revoked)
    for _ in range(3):
        assert door.refresh()(ANYBODY)
    [told] = caplog.records
    assert (told.levelno, told.exc_info) == (logging.ERROR, None)
    assert f"{revoked} is older than the list" in told.getMessage()
    assert f"it has the number {before}, that one {now}. Copy the latest" in told.getMessage()
    assert told.getMessage().endswith("The former certificates and revocations stay in use")
    with pytest.raises(TunnelError, match="revoked"):
        shake_hands(door, tls / "worker")
    assert door.admit(door.handshake(), shake_hands(door, tls / "client")).role == "submit"

    shutil.copy(tls / "latest.pem", revoked)
    assert not door.refresh()(ANYBODY)
    assert len(caplog.records) == 2, "once more it is told that the files have changed"


def test_an_older_list_that_comes_with_a_new_certificate_is_refused_too(tls):
    revoked = tls / "server/crl.pem"
    older = revoked.read_bytes()
    Authority.open(tls).revoke("worker")
    door = TlsDoor(tls / "server")
    revoked.write_bytes(older)
    Authority.open(tls).renew("server")
    assert door.refresh()(ANYBODY)
    with pytest.raises(TunnelError, match="revoked"):
        shake_hands(door, tls / "worker")


def test_a_list_without_a_number_does_not_follow_one_that_has(tls, caplog, monkeypatch):
    door = TlsDoor(tls / "server")
    (tls / "server/crl.pem").touch()
    with monkeypatch.context() as patched:
        patched.setattr("farm.wire.identity.numbers_of", lambda _: {})
        assert door.refresh()(ANYBODY)
    assert "it has no number, that one" in caplog.text


def test_another_authority_begins_its_own_count(tls, tmp_path):
    """Also one of the same name, whose lists cannot be told from the other one's by it."""
    Authority.open(tls).revoke("worker")
    door = TlsDoor(tls / "server")
    twin_of(tls, tmp_path / "twin", now=at(days=1))
    for path in (tmp_path / "twin/server").iterdir():
        shutil.copy(path, tls / "server")
    assert not door.refresh()(ANYBODY)
    tunnel = shake_hands(door, tmp_path / "twin/worker")
    assert door.admit(door.handshake(), tunnel).role == "work"


def test_what_is_replaced_while_it_is_read_is_taken_at_the_next_look(tls, monkeypatch):
    """Else a list could be in use whose number is another one's."""
    door = TlsDoor(tls / "server")
    Authority.open(tls).revoke("client")
    load = door._load

    def slowly():
        loaded = load()
        Authority.open(tls).revoke("worker")
        return loaded

    monkeypatch.setattr(door, "_load", slowly)
    assert door.refresh()(ANYBODY)
    monkeypatch.undo()
    assert not door.refresh()(ANYBODY)
    with pytest.raises(TunnelError, match="revoked"):
        shake_hands(door, tls / "worker")


def test_a_pass_ends_with_its_certificate(tls, monkeypatch):
    door = TlsDoor(tls / "server")
    held = door.admit(door.handshake(), shake_hands(door, tls / "worker"))
    assert door.refresh()(held)
    monkeypatch.setattr("farm.server.door.time.time", lambda: held.until + 1)
    assert not door.refresh()(held)
