"""Certificates in real handshakes, and what is in them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tls_handshake import at, certificates_in, connect

from farm.authority import Authority
from farm.certificates import Signer
from farm.wire.identity import role_of
from farm.wire.revoked import numbers_of

NOW = datetime.now(UTC)


# -- handshakes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "role"), [("worker", "work"), ("client", "submit"), ("admin", "admin")]
)
def test_every_first_bundle_gets_through_to_the_server_in_its_role(tls, name, role):
    met = connect(tls / "server", tls / name)
    assert met.refusals == {}
    assert role_of(met.client) == (role, name)
    assert role_of(met.server) == ("server", "server")


@pytest.mark.parametrize("role", ["view", "submit", "work", "admin"])
def test_so_does_what_was_issued_later(tls, role):
    Authority.open(tls).issue(role, "node7")
    met = connect(tls / "server", tls / "node7")
    assert (met.refusals, role_of(met.client)) == ({}, (role, "node7"))


def test_a_second_server(tls):
    Authority.open(tls).issue("server", "server2")
    met = connect(tls / "server2", tls / "worker")
    assert (met.refusals, role_of(met.server)) == ({}, ("server", "server2"))


def test_an_expired_certificate_is_refused(tls):
    Authority.open(tls, now=at(days=731)).issue("work", "late")
    assert connect(tls / "server", tls / "late").refusals["server"] == "certificate has expired"
    Authority.open(tls, now=at(days=731)).issue("work", "long", days=732)
    assert connect(tls / "server", tls / "long").refusals == {}


def test_a_client_refuses_a_server_whose_certificate_has_expired(tls):
    Authority.open(tls, now=at(days=731)).issue("server", "late")
    assert connect(tls / "late", tls / "worker").refusals["client"] == "certificate has expired"


def test_clocks_may_differ_by_an_hour(tls):
    Authority.open(tls, now=at(minutes=-50)).issue("work", "early")
    Authority.open(tls, now=at(minutes=-70)).issue("work", "too-early")
    assert connect(tls / "server", tls / "early").refusals == {}
    refusals = connect(tls / "server", tls / "too-early").refusals
    assert refusals["server"] == "certificate is not yet valid"


def test_a_certificate_of_another_authority_is_refused_by_both_ends(tls, tmp_path):
    Authority.create(tmp_path / "other")
    refusals = connect(tls / "server", tmp_path / "other/worker").refusals
    assert "certificate" in refusals["client"]
    shutil.copy(tls / "ca/cert.pem", tmp_path / "other/worker/ca.pem")  # it trusts this server
    refusals = connect(tls / "server", tmp_path / "other/worker").refusals
    assert refusals["server"] == "unable to get local issuer certificate"


def test_a_revoked_certificate_is_refused_and_the_others_are_not(tls):
    authority = Authority.open(tls)
    authority.issue("work", "node7")
    authority.revoke("node7")
    assert connect(tls / "server", tls / "node7").refusals["server"] == "certificate revoked"
    assert connect(tls / "server", tls / "worker").refusals == {}
    authority.issue("server", "server2")
    assert connect(tls / "server2", tls / "node7").refusals["server"] == "certificate revoked"


def test_revocations_add_up(tls):
    for name in ("worker", "client"):
        Authority.open(tls).revoke(name)
    for name in ("worker", "client"):
        assert connect(tls / "server", tls / name).refusals["server"] == "certificate revoked"


@pytest.mark.parametrize("name", ["worker", "admin"])
def test_no_other_certificate_can_pose_as_the_servers(tls, name):
    shutil.copy(tls / "server/crl.pem", tls / name)
    refusals = connect(tls / name, tls / "client").refusals
    assert refusals["client"] == "unsuitable certificate purpose"


def test_the_servers_certificate_is_no_clients(tls):
    refusals = connect(tls / "server", tls / "server").refusals
    assert refusals["server"] == "unsuitable certificate purpose"


def test_a_self_signed_certificate_is_refused(tls):
    own = Signer.new(NOW)
    (tls / "worker/identity.pem").write_bytes(own.certificate_pem + own.key_pem)
    assert connect(tls / "server", tls / "worker").refusals["server"] == "self-signed certificate"


def test_a_node_cannot_make_an_admin_of_itself(tls):
    """It signs a certificate with the key of its own, and shows both."""
    identity = (tls / "worker/identity.pem").read_bytes()
    split = identity.index(b"-----BEGIN PRIVATE KEY")
    made = Signer(identity[split:], identity[:split]).issue("mallory", "admin", NOW, 10)
    (tls / "worker/identity.pem").write_bytes(made.pem + identity[:split])
    assert "server" in connect(tls / "server", tls / "worker").refusals


def test_a_renewed_certificate_is_taken_and_so_is_the_one_before_until_it_is_withdrawn(tls):
    authority = Authority.open(tls)
    shutil.copytree(tls / "worker", tls.parent / "copy")
    assert authority.renew("worker") == [tls / "worker/identity.pem"]
    before, after = (
        certificates_in(d / "identity.pem")[0] for d in (tls.parent / "copy", tls / "worker")
    )
    assert before.public_key() != after.public_key()
    for one in (tls / "worker", tls.parent / "copy"):
        assert connect(tls / "server", one).refusals == {}
    authority.withdraw("worker")
    assert connect(tls / "server", tls / "worker").refusals == {}
    assert connect(tls / "server", tls.parent / "copy").refusals["server"] == "certificate revoked"


def test_a_name_is_revoked_with_all_that_it_ever_had(tls):
    authority = Authority.open(tls)
    shutil.copytree(tls / "worker", tls.parent / "copy")
    authority.renew("worker")
    authority.revoke("worker")
    for one in (tls / "worker", tls.parent / "copy"):
        assert connect(tls / "server", one).refusals["server"] == "certificate revoked"


# -- what is in a certificate (RFC 5280, section 4.2) -----------------------------------------


def extension(certificate, kind):
    found = certificate.extensions.get_extension_for_class(kind)
    return found.value, found.critical


def test_the_authoritys_certificate(tls):
    (own,) = certificates_in(tls / "ca/cert.pem")
    assert extension(own, x509.BasicConstraints) == (x509.BasicConstraints(True, 0), True)
    usage, critical = extension(own, x509.KeyUsage)
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    assert critical
    assert own.not_valid_after_utc - NOW > timedelta(days=20 * 365)
    assert extension(own, x509.SubjectKeyIdentifier)


@pytest.mark.parametrize(
    ("name", "uri", "purpose"),
    [
        ("server", "farm:server", ExtendedKeyUsageOID.SERVER_AUTH),
        ("worker", "farm:work", ExtendedKeyUsageOID.CLIENT_AUTH),
    ],
)
def test_a_certificate(tls, name, uri, purpose):
    (authoritys,) = certificates_in(tls / name / "ca.pem")
    (one,) = certificates_in(tls / name / "identity.pem")
    assert one.version == x509.Version.v3
    assert one.subject.rfc4514_string() == f"CN={name}"
    assert extension(one, x509.BasicConstraints) == (x509.BasicConstraints(False, None), True)
    usage, critical = extension(one, x509.KeyUsage)
    assert (usage.digital_signature, usage.key_cert_sign, critical) == (True, False, True)
    assert list(extension(one, x509.ExtendedKeyUsage)[0]) == [purpose]
    assert list(extension(one, x509.SubjectAlternativeName)[0]) == [
        x509.UniformResourceIdentifier(uri)
    ]
    known = extension(one, x509.AuthorityKeyIdentifier)[0].key_identifier
    assert known == extension(authoritys, x509.SubjectKeyIdentifier)[0].digest
    assert timedelta(days=729) < one.not_valid_after_utc - NOW < timedelta(days=731)
    age = datetime.now(UTC) - one.not_valid_before_utc
    assert timedelta(minutes=50) < age < timedelta(minutes=90)


def test_no_certificate_outlives_its_authority(tls):
    Authority.open(tls).issue("work", "node7", days=10**12)
    (own,) = certificates_in(tls / "ca/cert.pem")
    (one,) = certificates_in(tls / "node7/identity.pem")
    assert one.not_valid_after_utc == own.not_valid_after_utc


def test_the_number_of_the_list_grows(tls):
    def number():
        crl = x509.load_pem_x509_crl((tls / "server/crl.pem").read_bytes())
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number, len(crl)

    def copy():
        return numbers_of((tls / "server/crl.pem").read_bytes()).values()

    seen = [number()]
    authority = Authority.open(tls)
    for change in (
        lambda: authority.revoke("worker"),
        lambda: authority.revoke("worker"),
        lambda: authority.renew("client"),
        lambda: authority.withdraw("client"),
        lambda: Authority.open(tls, now=at(days=100)).revoke("client"),
    ):
        before = number()
        change()
        seen += [number()] if number() != before else []
        assert list(copy()) == [number()[0]]
    numbers = [one for one, _ in seen]
    assert numbers == sorted(set(numbers)), "it grows, whatever the clock says"
    assert [count for _, count in seen] == [0, 1, 1, 2, 3]


def test_the_number_grows_where_a_list_was_lost_or_is_an_older_one(tls):
    def number(path):
        (found,) = numbers_of(path.read_bytes()).values()
        return found

    listed, served, older = tls / "ca/crl.pem", tls / "server/crl.pem", tls / "older.pem"
    shutil.copy(listed, older)
    authority = Authority.open(tls)
    harms = [
        lambda: shutil.copy(older, listed),
        lambda: listed.unlink(),
        lambda: served.write_bytes(b"garbage"),
        lambda: [path.write_bytes(b"") for path in (listed, served)],
    ]
    for days, harm in enumerate(harms, 1):
        authority.revoke("worker")
        before = number(served)
        harm()
        authority = Authority.open(tls, now=at(days=-days))
        authority.revoke("client")
        assert number(listed) == number(served) > before


def test_two_authorities_have_different_names(tls, tmp_path):
    Authority.create(tmp_path / "other")
    (one,), (two,) = (
        certificates_in(tls / "ca/cert.pem"),
        certificates_in(tmp_path / "other/ca/cert.pem"),
    )
    assert one.subject != two.subject


def test_a_client_that_is_given_the_list_refuses_a_revoked_server(tls):
    Authority.open(tls).revoke("server")
    shutil.copy(tls / "ca/crl.pem", tls / "client")
    assert "revoked" in connect(tls / "server", tls / "client").refusals["client"]
