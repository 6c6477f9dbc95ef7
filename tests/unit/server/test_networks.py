"""Under which address a peer is counted."""

from __future__ import annotations

import ipaddress

import pytest
from fake_transport import Network
from hypothesis import given
from hypothesis import strategies as st

from farm.server.networks import network_of


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7%1", "192.0.2.7"),
        ("::1", "::/64"),
        ("?", "?"),
        ("", ""),
        ("peer", "peer"),
        ("192.0.2", "192.0.2"),
        ("2001:db8::1::2", "2001:db8::1::2"),
    ],
)
def test_an_address_is_counted_with_its_like(host, network):
    assert network_of(host) == network


@given(st.ip_addresses(v=6), st.ip_addresses(v=6))
def test_two_of_ipv6_are_counted_together_if_their_first_64_bits_are_alike(one, other):
    if one.ipv4_mapped is None and other.ipv4_mapped is None:
        alike = int(one) >> 64 == int(other) >> 64
        assert (network_of(str(one)) == network_of(str(other))) == alike
    beside = ipaddress.IPv6Address(int(one) ^ 1)
    if one.ipv4_mapped is None:
        assert network_of(str(beside)) == network_of(str(one))


@given(st.ip_addresses(v=4))
def test_ipv4_is_counted_by_address_also_where_it_comes_as_ipv6(address):
    assert network_of(str(address)) == network_of(f"::ffff:{address}") == str(address)


@given(st.text(max_size=50))
def test_whatever_it_is_it_is_counted(host):
    assert isinstance(network_of(host), str)


def test_connections_from_one_64_count_together(by_hand):
    server = by_hand(max_per_address=2)
    for number in range(2):
        server.call(Network(f"2001:db8::{number}"))
    assert server.call(Network("2001:db8::9"))[1].end == "closed"
    assert server.call(Network("2001:db8:0:1::9"))[1].end == ""
