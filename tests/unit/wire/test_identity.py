"""Which certificate is shown, what of it cannot be used, and what one says of its holder."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import ConfigError, ProtocolError
from farm.wire import identity
from farm.wire.credentials import (
    BY_CERTIFICATE,
    CertificateCredentials,
    KeyCredentials,
    credentials_of,
)
from farm.wire.identity import (
    FOR_CLIENT,
    FOR_SERVER,
    FOR_WORKER,
    client_context,
    find_identity,
    role_of,
    server_context,
)
from farm.wire.roles import ROLES

# -- which one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "found"), [(FOR_SERVER, "server"), (FOR_WORKER, "worker"), (FOR_CLIENT, "admin")]
)
def test_of_several_the_fitting_one_is_taken(template, names, found):
    assert find_identity(template, names) == template / found
    assert find_identity(template / "client", names) == template / "client"


def test_the_next_best_is_taken_where_the_best_is_not_there(tls):
    shutil.rmtree(tls / "worker")
    shutil.rmtree(tls / "admin")
    assert find_identity(tls, FOR_CLIENT) == tls / "client"
    with pytest.raises(ConfigError, match=r"no identity.pem in .*, nor in its worker or admin: "):
        find_identity(tls, FOR_WORKER)


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"there is no directory .*nowhere: --tls names one",
    ):
        find_identity(tmp_path / "nowhere", FOR_CLIENT)


@pytest.mark.parametrize("names", [FOR_SERVER, FOR_WORKER, FOR_CLIENT], ids=lambda n: n[0])
def test_a_file_is_no_directory(template, names):
    for path in (template / "worker/identity.pem", template / "ca/crl.pem"):
        with pytest.raises(ConfigError, match=rf"{path} is no directory: --tls names the one that"):
            find_identity(path, names)


def denied(monkeypatch, *directories):
    """Let nobody look into these, not even root."""
    real = Path.stat

    def look(path, **more):
        if path.parent in directories:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **more)

    monkeypatch.setattr(Path, "stat", look)


def test_a_directory_that_may_not_be_looked_into_is_told_from_an_empty_one(tls, monkeypatch):
    denied(monkeypatch, tls, tls / "admin", tls / "client")
    with pytest.raises(ConfigError, match=rf"cannot look into {tls}: Permission denied$"):
        find_identity(tls, FOR_CLIENT)


def test_what_may_not_be_looked_into_is_left_to_others(tls, monkeypatch):
    denied(monkeypatch, tls / "admin")
    assert find_identity(tls, FOR_CLIENT) == tls / "client"
    shutil.rmtree(tls / "client")
    with pytest.raises(ConfigError, match=rf"cannot look into {tls}/admin: Permission denied$"):
        find_identity(tls, FOR_CLIENT)


# -- what cannot be used ----------------------------------------------------------------------


@pytest.mark.parametrize("context", [server_context, client_context])
@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("identity.pem", None, r"cannot read .*identity\.pem: No such file"),
        ("identity.pem", b"", r"cannot use .*identity\.pem: it is damaged"),
        ("identity.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n", "it is damaged"),
        ("ca.pem", None, r"cannot use .*ca\.pem: No such file"),
        ("ca.pem", b"garbage", r"cannot use .*ca\.pem: it is damaged"),
        ("crl.pem", b"garbage", r"cannot use .*crl\.pem: it is damaged"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named(tls, context, file, content, why):
    path = tls / "server" / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=why):
        context(tls / "server")


def test_a_private_key_that_others_can_read_is_not_used(tls):
    (tls / "worker/identity.pem").chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        client_context(tls / "worker")


def test_a_certificate_with_the_key_of_another_is_not_used(tls):
    one, other = (
        (tls / name / "identity.pem").read_bytes().partition(b"-----BEGIN PRIVATE KEY")
        for name in ("worker", "client")
    )
    (tls / "worker/identity.pem").write_bytes(one[0] + other[1] + other[2])
    with pytest.raises(ConfigError, match="it is damaged"):
        client_context(tls / "worker")


@pytest.mark.parametrize("make", [server_context, client_context])
def test_both_ends_want_a_certificate_and_the_latest_tls(template, make):
    context = make(template / "server")
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF


def test_without_a_list_nothing_is_revoked(template):
    assert not client_context(template / "worker").verify_flags & ssl.VERIFY_CRL_CHECK_LEAF


# -- whose it is ------------------------------------------------------------------------------


def certificate(*names, subject=((("commonName", "node7"),),)):
    return {"subject": subject, "subjectAltName": names}


@pytest.mark.parametrize("role", [*ROLES, "server"])
def test_a_certificate_names_a_role_and_its_holder(role):
    assert role_of(certificate(("URI", f"farm:{role}"))) == (role, "node7")


def test_other_names_are_not_looked_at():
    names = ("DNS", "farm:admin"), ("URI", "https://farm"), ("URI", "farm:work"), ("email", "a@b")
    assert role_of(certificate(*names)) == ("work", "node7")


def test_a_name_is_not_needed():
    assert role_of(certificate(("URI", "farm:work"), subject=())) == ("work", "?")


@pytest.mark.parametrize(
    "names",
    [(), (("DNS", "farm:admin"),), (("URI", "FARM:admin"),), (("URI", "xfarm:admin"),),
     (("URI", "farm:work"), ("URI", "farm:admin")), (("URI", "farm:work"),) * 2],
    ids=str,
)  # fmt: skip
def test_a_certificate_without_one_role_has_none(names):
    with pytest.raises(ProtocolError, match="names no role on a farm"):
        role_of(certificate(*names))
    with pytest.raises(ProtocolError):
        role_of({})


@given(st.lists(st.tuples(st.sampled_from(["URI", "DNS"]), st.text(max_size=12)), max_size=4))
def test_whatever_is_in_it_a_role_is_named_once_or_there_is_none(names):
    named = [text for kind, text in names if kind == "URI" and text.startswith(identity.SCHEME)]
    try:
        role, _ = role_of(certificate(*names))
    except ProtocolError:
        assert len(named) != 1
    else:
        assert named == [f"farm:{role}"]


# -- what is shown ----------------------------------------------------------------------------


def test_a_key_is_shown_without_a_tunnel():
    keys = iter([b"one", b"two"])
    shown = KeyCredentials(lambda: next(keys))
    assert (shown.show(), shown.show()) == ((b"one", None), (b"two", None))
    assert credentials_of(b"bare").show() == (b"bare", None)
    assert credentials_of(shown) is shown


def test_a_certificate_is_shown_as_it_is_then(tls):
    shown = CertificateCredentials(tls, FOR_WORKER)
    key, context = shown.show()
    assert key == BY_CERTIFICATE
    assert isinstance(context, ssl.SSLContext)
    assert shown.show().context is not context
    (tls / "worker/identity.pem").unlink()
    with pytest.raises(ConfigError, match="cannot read"):
        shown.show()


def test_what_is_wrong_with_a_certificate_is_said_at_once(tls):
    (tls / "worker/ca.pem").write_text("damaged")
    with pytest.raises(ConfigError, match=r"ca\.pem: it is damaged"):
        CertificateCredentials(tls, FOR_WORKER)
