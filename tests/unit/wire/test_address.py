"""Addresses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.errors import AddressError
from farm.wire.address import Address, parse


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("node7", "node7", 7077),
        ("node7:80", "node7", 80),
        (" node7:80 ", "node7", 80),
        (":80", "127.0.0.1", 80),
        ("", "127.0.0.1", 7077),
        ("10.0.0.1:0", "10.0.0.1", 0),
        ("[::1]", "::1", 7077),
        ("[::1]:80", "::1", 80),
        ("::1", "::1", 7077),
        ("fe80::1", "fe80::1", 7077),
        ("node7:65535", "node7", 65535),
    ],
)
def test_an_address_is_read(text, host, port):
    assert parse(text) == Address(host, port)


@pytest.mark.parametrize(
    "text", ["node7:", "node7:x", "node7:65536", "a b", "[::1", "::1]:80", "a:b:c", "[]:80", "x:-1"]
)
def test_what_is_no_address_is_refused_with_what_to_write(text):
    with pytest.raises(AddressError, match=r"write HOST, HOST:PORT or \[IPV6\]:PORT"):
        parse(text)


@given(st.text(max_size=40))
@example("host:" + "1" * 5000)
def test_any_text_is_an_address_or_refused(text):
    try:
        address = parse(text)
    except AddressError:
        return
    assert 0 <= address.port <= 65535
    assert address.host


@pytest.mark.parametrize("address", [Address("node7", 80), Address("::1", 7077)])
def test_what_is_shown_is_read_again(address):
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("10.0.0.1", False),
     ("0.0.0.0", False), ("node7", False)],
)  # fmt: skip
def test_only_this_machine_reaches_a_loopback_address(host, loopback):
    assert Address(host, 1).is_loopback is loopback
