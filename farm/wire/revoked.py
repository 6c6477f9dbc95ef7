"""The numbers of lists of revoked certificates, read from their bytes.

Apart from `identity`, because the standard library's ``ssl`` uses such a list and tells nothing of
it. Only as much is read as leads to the number: that a list is genuine is OpenSSL's matter.

The list's form is RFC 5280, section 5.1; that of its bytes DER (ITU-T X.690, sections 8.1 and
10.1); the text around them is RFC 7468, section 2.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

_PEM = re.compile(rb"-----BEGIN X509 CRL-----(.*?)-----END X509 CRL-----", re.DOTALL)

_INTEGER, _OCTETS, _OID, _SEQUENCE = 0x02, 0x04, 0x06, 0x30
_EXTENSIONS = 0xA0
"""The tag ``[0]`` of a list's extensions."""
_NUMBER = bytes((0x55, 0x1D, 0x14))
"""The identifier of a list's number, 2.5.29.20 (RFC 5280, section 5.2.3)."""
_LONGEST_NUMBER = 20
"""Bytes that a number may have (the same section)."""

Element = tuple[int, bytes]
"""A tag, and the content that goes with it."""


def numbers_of(text: bytes) -> dict[bytes, int]:
    """The number of each list in a file, by the name of who has issued it.

    Args:
        text: the file's content, PEM.

    Returns:
        By issuer (DER of its name) the highest number of its lists; lists without one are left out.

    Raises:
        ValueError: there is no list, or one of them is damaged.

    Example:
        >>> numbers_of(Path("crl.pem").read_bytes())            # doctest: +SKIP
        {b'1\\x180...': 1767225600}
    """
    found: dict[bytes, int] = {}
    lists = _PEM.findall(text)
    if not lists:
        raise ValueError("there is no list in it")
    for encoded in lists:
        issuer, number = _read(base64.b64decode(b"".join(encoded.split()), validate=True))
        if number is not None:
            found[issuer] = max(number, found.get(issuer, 0))
    return found


def _read(der: bytes) -> tuple[bytes, int | None]:
    """The issuer and the number of one list (``CertificateList``)."""
    signed = next(_elements(_content(_only(der), _SEQUENCE)), None)
    fields = list(_elements(_content(signed, _SEQUENCE)))
    if fields and fields[0][0] == _INTEGER:
        del fields[0]  # the version
    if len(fields) < 3:  # the algorithm, the issuer, the date
        raise ValueError("it ends too early")
    issuer = _content(fields[1], _SEQUENCE)
    extensions = [content for tag, content in fields[3:] if tag == _EXTENSIONS]
    return issuer, _number_in(extensions[0]) if extensions else None


def _number_in(wrapped: bytes) -> int | None:
    """The number among a list's extensions, if it is one of them."""
    for extension in _elements(_content(_only(wrapped), _SEQUENCE)):
        parts = list(_elements(_content(extension, _SEQUENCE)))
        if parts and parts[0] == (_OID, _NUMBER):
            number = _content(_only(_content(parts[-1], _OCTETS)), _INTEGER)
            if not 1 <= len(number) <= _LONGEST_NUMBER or number[0] & 0x80:
                raise ValueError("its number is not one")
            return int.from_bytes(number, "big")
    return None


def _only(data: bytes) -> Element:
    """The one element that some bytes are."""
    elements = list(_elements(data))
    if len(elements) != 1:
        raise ValueError(f"there are {len(elements)} elements where one belongs")
    return elements[0]


def _content(element: Element | None, tag: int) -> bytes:
    """The content of an element of a kind."""
    if element is None or element[0] != tag:
        raise ValueError("an element is missing, or of another kind")
    return element[1]


def _elements(data: bytes) -> Iterator[Element]:
    """What some bytes consist of: tag, length and content each (X.690, sections 8.1.2 to 8.1.4)."""
    at = 0
    while at < len(data):
        tag, start, length = data[at], at + 2, _byte(data, at + 1)
        if length & 0x80:  # so many bytes of length follow; none would be a length that DER has not
            size = length & 0x7F
            start, length = start + size, int.from_bytes(data[start : start + size], "big")
            if not 1 <= size <= 4:
                raise ValueError("a length is not one")
        if tag & 0x1F == 0x1F or start + length > len(data):
            raise ValueError("it is cut off, or of another form")
        yield tag, data[start : start + length]
        at = start + length


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise ValueError("it is cut off")
    return data[at]
