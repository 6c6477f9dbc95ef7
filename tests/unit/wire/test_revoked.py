"""The number of a list of revoked certificates: read as another reader reads it, or refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from farm.certificates import Signer
from farm.wire.revoked import numbers_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIGNER = Signer.new(NOW)
KEY = ec.generate_private_key(ec.SECP256R1())
LIST = SIGNER.revocations([(5, NOW)], NOW, 1_767_225_600)
DER = x509.load_pem_x509_crl(LIST).public_bytes(serialization.Encoding.DER)


def pem(der: bytes) -> bytes:
    return b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(der) + b"-----END X509 CRL-----\n"


def made(*extensions: x509.ExtensionType, issuer: str = "another", revoked: int = 0) -> bytes:
    """A list as another program makes it."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .last_update(NOW)
        .next_update(NOW.replace(year=2030))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    for serial in range(1, revoked + 1):
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW).build()
        builder = builder.add_revoked_certificate(one)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@given(
    number=st.one_of(st.integers(0, 300), st.integers(0, (1 << 159) - 1)),
    serials=st.lists(st.integers(1, (1 << 159) - 1), max_size=300),
)
def test_the_number_is_the_one_that_was_given(number, serials):
    text = SIGNER.revocations([(serial, NOW) for serial in serials], NOW, number)
    assert list(numbers_of(text).values()) == [number]


def test_the_issuer_tells_lists_apart_and_of_one_the_latest_counts():
    texts = [made(x509.CRLNumber(n), issuer=name) for name, n in (("a", 3), ("b", 7), ("a", 2))]
    assert sorted(numbers_of(b"a text\n" + b"\n".join(texts)).values()) == [3, 7]
    names = [next(iter(numbers_of(text))) for text in texts]
    assert names[0] == names[2] != names[1]


def test_a_list_without_a_number_has_none():
    key = x509.AuthorityKeyIdentifier.from_issuer_public_key(KEY.public_key())
    assert numbers_of(made()) == numbers_of(made(revoked=3)) == numbers_of(made(key)) == {}


def test_the_number_may_stand_anywhere_among_the_extensions():
    key = x509.AuthorityKeyIdentifier.from_issuer_public_key(KEY.public_key())
    for extensions in ((key, x509.CRLNumber(9)), (x509.CRLNumber(9), key)):
        assert list(numbers_of(made(*extensions, revoked=2)).values()) == [9]


NO_LISTS = {
    "empty": b"",
    "garbage": b"garbage",
    "no end": b"-----BEGIN X509 CRL-----\n",
    "nothing in it": pem(b""),
    "a tag": pem(b"\x30"),
    "no length": pem(b"\x30\x80\x00\x00"),
    "4 GiB": pem(b"\x30\x84\xff\xff\xff\xff"),
    "a long length": pem(b"\x30\x89" + b"\x00" * 20),
    "an empty list": pem(b"\x30\x02\x30\x00"),
    "more after it": pem(DER + b"\x00"),
    "cut short": pem(DER[:-1]),
    "not base64": LIST.replace(b"\n", b"\n!", 2),
    "followed by a number": LIST + pem(b"\x02\x01\x05"),
}


@pytest.mark.parametrize("text", NO_LISTS.values(), ids=NO_LISTS)
def test_what_is_no_list_is_refused(text):
    with pytest.raises(ValueError):
        numbers_of(text)


def der(tag: int, *content: bytes) -> bytes:
    """One element of fewer than 128 bytes."""
    data = b"".join(content)
    return bytes((tag, len(data))) + data


def by_hand(number: bytes) -> bytes:
    """As little of a list as has a number."""
    extension = der(0x30, der(0x06, b"\x55\x1d\x14"), der(0x04, number))
    fields = [der(0x30), der(0x30), der(0x17), der(0xA0, der(0x30, extension))]
    return pem(der(0x30, der(0x30, *fields)))


def test_a_number_may_have_20_bytes():
    for number in (b"\x00", b"\x7f", b"\x00\x80", b"\x7f" * 20):
        assert list(numbers_of(by_hand(der(2, number))).values()) == [int.from_bytes(number, "big")]


@pytest.mark.parametrize("number", [b"", b"\xff", b"\x01" * 21], ids=repr)
def test_a_number_that_cannot_be_one_is_refused(number):
    with pytest.raises(ValueError, match="its number is not one"):
        numbers_of(by_hand(der(2, number)))


@pytest.mark.parametrize("number", [b"", der(4, b"x"), der(2, b"\1") * 2], ids=repr)
def test_something_else_where_the_number_belongs_is_refused(number):
    with pytest.raises(ValueError, match="element"):
        numbers_of(by_hand(number))


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_there_is_no_other_error(data):
    for text in (data, pem(data)):
        try:
            numbers_of(text)
        except ValueError:
            continue


@given(st.integers(0, len(DER) - 1), st.integers(1, 255), st.booleans())
def test_of_a_list_that_was_changed_somewhere_there_is_a_number_or_none_or_a_reason(
    at, change, cut
):
    broken = DER[:at] if cut else DER[:at] + bytes([DER[at] ^ change]) + DER[at + 1 :]
    try:
        found = numbers_of(pem(broken))
    except ValueError:
        return
    assert all(number >= 0 for number in found.values())
