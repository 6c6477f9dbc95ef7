"""The authority's directory: what is on record, in which files, and what is refused."""

from __future__ import annotations

import json
import shutil
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tls_handshake import at, certificates_in, connect

from farm import authority as module
from farm.authority import Authority
from farm.errors import ConfigError, MissingExtraError
from farm.wire.identity import client_context, role_of


def lines(directory):
    return [json.loads(line) for line in (directory / "ca/issued.jsonl").read_text().splitlines()]


def names_in(directory):
    return sorted(path.name for path in directory.iterdir())


# -- the directory ----------------------------------------------------------------------------


def test_the_files_of_an_authority_and_who_may_read_them(template):
    assert names_in(template) == ["admin", "ca", "client", "server", "worker"]
    assert names_in(template / "ca") == ["cert.pem", "crl.pem", "issued.jsonl", "key.pem", "lock"]
    assert names_in(template / "server") == ["ca.pem", "crl.pem", "identity.pem"]
    assert names_in(template / "worker") == ["ca.pem", "identity.pem"]
    private = [template / "ca/key.pem", *template.glob("*/identity.pem")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert len(private) == 5
    for path in (template, *template.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    secret = (template / "ca/key.pem").read_bytes()
    assert all(
        secret not in path.read_bytes() for path in template.glob("*/*") if path.name != "key.pem"
    )


def test_every_certificate_is_on_record(tls):
    authority = Authority.open(tls)
    authority.issue("view", "alice", days=10)
    authority.revoke("worker")
    (worker,) = [line for line in lines(tls) if line["name"] == "worker"]
    alice = lines(tls)[-1]
    (certificate,) = certificates_in(tls / "alice/identity.pem")
    assert [line["name"] for line in lines(tls)] == ["server", "worker", "client", "admin", "alice"]
    assert (alice["role"], alice["revoked"]) == ("view", None)
    assert int(alice["serial"], 16) == certificate.serial_number
    assert datetime.fromisoformat(alice["not_after"]) == certificate.not_valid_after_utc
    assert abs(datetime.fromisoformat(worker["revoked"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert authority.issued[1].revoked is not None


def test_the_files_that_were_written_are_told(tls):
    authority = Authority.open(tls)
    assert authority.issue("work", "a") == [tls / "a/ca.pem", tls / "a/identity.pem"]
    made = authority.issue("server", "b")
    assert made == [tls / "b/ca.pem", tls / "b/identity.pem", tls / "b/crl.pem"]
    shutil.rmtree(tls / "server")
    assert authority.revoke("a") == [tls / "ca/crl.pem", tls / "b/crl.pem"]


def test_a_directory_with_an_authority_gets_no_other(tls):
    before = {path: path.read_bytes() for path in tls.glob("*/*")}
    with pytest.raises(ConfigError, match="there is an authority in"):
        Authority.create(tls)
    shutil.rmtree(tls / "ca")
    with pytest.raises(ConfigError, match="server is there"):
        Authority.create(tls)
    assert all(path.read_bytes() == text for path, text in before.items() if path.exists())
    assert not (tls / "ca").exists()


def test_an_authority_that_cannot_be_made_whole_is_not_there(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr(module, "write_file", refuse)
    with pytest.raises(ConfigError, match="No space left"):
        Authority.create(tmp_path / "tls")
    assert names_in(tmp_path / "tls") == []


@pytest.mark.parametrize("name", ["", "old", "ca", "a/b", "..", "a.b", "x" * 65])
def test_a_name_that_cannot_be_a_directory_is_refused(tls, name):
    with pytest.raises(ConfigError, match=r"as a name|have the name 'ca'"):
        Authority.open(tls).issue("work", name)
    assert len(lines(tls)) == 4


def test_a_role_that_is_not_there_is_refused(tls):
    with pytest.raises(ConfigError, match="no role 'worker'; the roles are server, view"):
        Authority.open(tls).issue("worker", "node7")


@pytest.mark.parametrize("days", [0, -1])
def test_a_certificate_is_valid_for_a_day_at_least(tls, tmp_path, days):
    for use in (
        lambda: Authority.open(tls).issue("work", "node7", days),
        lambda: Authority.open(tls).renew("worker", days),
        lambda: Authority.create(tmp_path / "other", days=days),
    ):
        with pytest.raises(ConfigError, match="at least 1 day"):
            use()
    assert len(lines(tls)) == 4
    assert not (tmp_path / "other").exists()


def test_a_name_is_given_once(tls):
    authority = Authority.open(tls)
    with pytest.raises(ConfigError, match="--rotate --name worker"):
        authority.issue("admin", "worker")
    shutil.rmtree(tls / "worker")
    with pytest.raises(ConfigError, match="a certificate for worker"):
        authority.issue("admin", "worker")
    authority.revoke("worker")
    authority.issue("admin", "worker")
    assert role_of(connect(tls / "server", tls / "worker").client) == ("admin", "worker")


def test_a_directory_of_something_else_is_not_taken(tls):
    (tls / "node7").mkdir()
    with pytest.raises(ConfigError, match="node7 is there already, and no certificate of this"):
        Authority.open(tls).issue("work", "node7")
    assert len(lines(tls)) == 4


def test_a_file_is_no_place_for_an_authority(tls):
    for use in (Authority.create, Authority.open):
        with pytest.raises(
            ConfigError, match=r"crl\.pem is no directory: --tls names the one that"
        ):
            use(tls / "ca/crl.pem")


def test_a_directory_that_may_not_be_looked_into_is_said_to_be_one(tls, monkeypatch):
    real = Path.stat

    def look(path, **more):
        if path == tls / "ca":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **more)

    monkeypatch.setattr(Path, "stat", look)
    with pytest.raises(ConfigError, match=r"cannot use .*/ca: Permission denied$"):
        Authority.open(tls)


def test_a_bundle_that_was_lost_is_made_again(tls, monkeypatch):
    authority = Authority.open(tls)
    with monkeypatch.context() as patch:
        patch.setattr(authority, "_write_bundle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            authority.issue("server", "server2")
    assert not (tls / "server2").exists()
    assert authority.issued[-1].name == "server2"  # so that it could be revoked
    authority.renew("server2")
    assert connect(tls / "server2", tls / "worker").refusals == {}


def test_a_revocation_that_was_broken_off_is_made_up_for(tls, monkeypatch):
    authority = Authority.open(tls)
    real = module.write_file

    def broken(path, content, **more):
        if path.name == "crl.pem":
            raise OSError(28, "No space left on device", str(path))
        real(path, content, **more)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_file", broken)
        with pytest.raises(ConfigError, match=r"cannot use .*crl.pem: No space left"):
            authority.revoke("worker")
    assert connect(tls / "server", tls / "worker").refusals == {}
    authority.revoke("worker")
    assert connect(tls / "server", tls / "worker").refusals["server"] == "certificate revoked"
    first = authority.issued[1].revoked
    later = Authority.open(tls, now=at(hours=-5))
    later.revoke("worker")
    later.revoke("client")
    assert later.issued[1].revoked == first


def test_what_was_revoked_or_never_there_is_not_renewed(tls):
    authority = Authority.open(tls)
    authority.revoke("worker")
    said = set()
    for use in (authority.renew, authority.withdraw, lambda name: authority.issue("work", name)):
        with pytest.raises(ConfigError) as error:
            use("worker")
        said.add(str(error.value))
    assert said == {
        f"worker was revoked in {tls}: make a certificate of another name, or remove {tls}/worker "
        "and make one of this name anew, `farm keygen --tls DIR --role ROLE --name worker`"
    }
    for use in (authority.renew, authority.withdraw, authority.revoke):
        with pytest.raises(ConfigError, match=r"no certificate for nobody.*admin, client, server$"):
            use("nobody")
    with pytest.raises(ConfigError, match=r"client has no certificate in .* but the present one"):
        authority.withdraw("client")


# -- several at once --------------------------------------------------------------------------


def test_what_is_issued_at_once_is_all_on_record(tls):
    names = [f"node{number}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: Authority.open(tls).issue("work", name), names))
    assert {line["name"] for line in lines(tls)} >= set(names)
    assert len(lines(tls)) == 4 + len(names)


def test_of_two_who_want_a_name_one_gets_it(tls):
    barrier = threading.Barrier(4)

    def issue(_):
        authority = Authority.open(tls)
        barrier.wait()
        try:
            authority.issue("work", "node7")
        except ConfigError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(issue, range(4))) == 1
    assert [line["name"] for line in lines(tls)].count("node7") == 1


def test_who_reads_while_a_certificate_is_renewed_gets_two_that_belong_together(tls):
    stop, seen = threading.Event(), set()

    def renew():
        for _ in range(100):
            Authority.open(tls).renew("worker")
        stop.set()

    thread = threading.Thread(target=renew)
    thread.start()
    while not stop.is_set():
        text = (tls / "worker/identity.pem").read_bytes()
        key = serialization.load_pem_private_key(text, None).public_key()
        assert x509.load_pem_x509_certificate(text).public_key() == key
        client_context(tls / "worker")  # ssl reads the file twice
        seen.add(text)
    thread.join()
    assert len(seen) > 1


@pytest.mark.parametrize("kept", [0, 100, 700])
def test_half_a_certificate_is_refused_at_once(tls, kept):
    path = tls / "worker/identity.pem"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ConfigError, match=r"cannot use .*identity.pem: it is damaged"):
        client_context(tls / "worker")


def test_a_key_with_a_password_is_refused_without_asking_anybody(tls):
    path = tls / "worker/identity.pem"
    text = path.read_bytes()
    key = serialization.load_pem_private_key(text, None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    path.write_bytes(text[: text.index(b"-----BEGIN PRIVATE KEY")] + encrypted)
    with pytest.raises(ConfigError, match=r"cannot use .*identity.pem: it is damaged"):
        client_context(tls / "worker")


# -- what cannot be used ----------------------------------------------------------------------


def test_where_there_is_no_authority_none_is_opened(tmp_path):
    with pytest.raises(
        ConfigError, match=r"no certificate authority in .*`farm keygen --tls` makes"
    ):
        Authority.open(tmp_path)


def test_a_key_that_others_can_read_is_not_used(tls):
    (tls / "ca/key.pem").chmod(0o640)
    with pytest.raises(ConfigError, match=r"run `chmod 600 .*/ca/key.pem`"):
        Authority.open(tls)


def test_files_that_are_damaged_or_of_somebody_else_are_refused(tls, tmp_path):
    Authority.create(tmp_path / "other")
    shutil.copy(tmp_path / "other/ca/cert.pem", tls / "ca/cert.pem")
    with pytest.raises(ConfigError, match="is damaged: they do not belong together"):
        Authority.open(tls)
    (tls / "ca/cert.pem").unlink()
    with pytest.raises(ConfigError, match=r"cannot read .*cert.pem: No such file"):
        Authority.open(tls)
    (tls / "ca/key.pem").write_text("not a key, though it is quite long\n")
    (tls / "ca/cert.pem").write_text("")
    with pytest.raises(ConfigError, match="is damaged"):
        Authority.open(tls)


def test_a_record_that_is_damaged_is_named(tls):
    with (tls / "ca/issued.jsonl").open("a") as file:
        file.write('{"name": "x"}\n')
    with pytest.raises(ConfigError, match=r"issued.jsonl:5: .*role"):
        Authority.open(tls).issue("work", "node7")


def test_an_authority_that_has_expired_makes_nothing(tmp_path):
    Authority.create(tmp_path / "tls", now=at(days=8000))
    with pytest.raises(ConfigError, match="has expired"):
        Authority.open(tmp_path / "tls")


def test_without_cryptography_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.delitem(sys.modules, "farm.certificates")
    with pytest.raises(MissingExtraError, match=r"pip install 'farm\[tls\]'"):
        Authority.create(tmp_path / "tls")
    assert names_in(tmp_path) == []
