"""Whose a peer's address is, as far as connections and complaints are counted. Pure.

Apart from `admission` and `complaints`, because both count alike.
"""

from __future__ import annotations

import ipaddress

PREFIX = 64
"""Bits of an IPv6 address that tell one network from another: the rest is its holder's to choose
(RFC 4291, section 2.5.4), and nobody is given less than one such network (RFC 6177, section 2)."""


def network_of(host: str) -> str:
    """What a peer is counted under: its IPv4 address, or the /64 of its IPv6 address (no scope).

    Args:
        host: an address as the system gives it. What is none is counted as it is.

    Example:
        >>> network_of("192.0.2.7"), network_of("::ffff:192.0.2.7"), network_of("2001:db8::a:7")
        ('192.0.2.7', '192.0.2.7', '2001:db8::/64')
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, PREFIX), strict=False))
