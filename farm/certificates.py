"""X.509 certificates of a farm (RFC 5280): made and revoked by its authority, in memory.

Apart from `authority`, because it needs the package cryptography, which only those need who make
certificates. To use one, the standard library is enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from farm.wire.identity import SCHEME, SERVER

YEARS_20 = timedelta(days=7305)
CLOCKS_DIFFER = timedelta(hours=1)
"""Certificates are valid from so long before they are made: other clocks may be behind."""

_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key.

    Args:
        pem: both, in this order.
        serial: the certificate's number, unique for its authority.
        not_after: when it expires.
    """

    pem: bytes
    serial: int
    not_after: datetime

    def __repr__(self) -> str:
        return f"Identity(serial={self.serial:x})"  # without the key


class Signer:
    """The key and the certificate of an authority, and what they are good for.

    Args:
        key_pem: the private key.
        certificate_pem: the certificate that goes with it.

    Raises:
        ValueError: one of them is damaged, or they do not belong together.
    """

    def __init__(self, key_pem: bytes, certificate_pem: bytes) -> None:
        key = serialization.load_pem_private_key(key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("it is not a key of an elliptic curve")  # noqa: TRY004 - of the file
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(certificate_pem)
        if key.public_key() != self._certificate.public_key():
            raise ValueError("they do not belong together")
        self.key_pem, self.certificate_pem = key_pem, certificate_pem

    @classmethod
    def new(cls, now: datetime) -> Signer:
        """A new authority, for 20 years.

        Its certificate can sign nothing but certificates that sign nothing (RFC 5280, sections
        4.2.1.3 and 4.2.1.9). A part of its name is random, so that a person tells two apart.
        """
        key = _new_key()
        subject = _name(f"farm authority {x509.random_serial_number() % 16**8:08x}")
        certificate = (
            _builder(subject, subject, key, now, now + YEARS_20)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(_private_pem(key), certificate.public_bytes(_PEM))

    @property
    def not_after(self) -> datetime:
        """When the authority expires, and with it all that it has signed."""
        return self._certificate.not_valid_after_utc

    def issue(self, name: str, role: str, now: datetime, days: int) -> Identity:
        """A new key, and a certificate that says whose it is.

        Args:
            name: whose, its common name.
            role: what the holder may do, as the URI ``farm:ROLE`` (section 4.2.1.6); ``server``
                may be used by servers, every other one by clients (section 4.2.1.12).
            now: the time.
            days: how long it is valid, but no longer than the authority is.
        """
        key = _new_key()
        purpose = (
            ExtendedKeyUsageOID.SERVER_AUTH if role == SERVER else ExtendedKeyUsageOID.CLIENT_AUTH
        )
        until = min(now + timedelta(days=min(days, YEARS_20.days)), self.not_after)
        uri = x509.UniformResourceIdentifier(f"{SCHEME}{role}")
        certificate = (
            _builder(_name(name), self._certificate.subject, key, now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .add_extension(self._authority_key(), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = certificate.public_bytes(_PEM) + _private_pem(key)
        return Identity(pem, certificate.serial_number, certificate.not_valid_after_utc)

    def revocations(
        self, revoked: Iterable[tuple[int, datetime]], now: datetime, number: int
    ) -> bytes:
        """The list of revoked certificates (section 5), as PEM.

        Args:
            revoked: the serial number of each, and when it was revoked.
            now: the time.
            number: the list's, higher than those of all before it (section 5.2.3).
        """
        entries = [
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
            for serial, when in revoked
        ]
        builder = (
            x509.CertificateRevocationListBuilder(revoked_certificates=entries)
            .issuer_name(self._certificate.subject)
            .last_update(now - CLOCKS_DIFFER)
            .next_update(now + YEARS_20)
            .add_extension(self._authority_key(), critical=False)
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM)

    def _authority_key(self) -> x509.AuthorityKeyIdentifier:
        own = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _new_key() -> ec.EllipticCurvePrivateKey:
    """Of the curve that every implementation of TLS 1.3 knows (RFC 8446, section 9.1)."""
    return ec.generate_private_key(ec.SECP256R1())


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    """What all certificates have in common."""
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
