"""Addresses as people write them: ``HOST``, ``HOST:PORT``, ``[IPV6]:PORT``."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from farm.config import DEFAULT_HOST, DEFAULT_PORT
from farm.errors import AddressError

_WRITTEN = re.compile(r"\A(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]\s]*))(?::(?P<port>\d{1,5}))?\Z")


class Address(NamedTuple):
    """Where a server listens.

    Example:
        >>> str(Address("node7", 7077)), str(Address("::1", 7077))
        ('node7:7077', '[::1]:7077')
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """Read ``text``; an empty host is 127.0.0.1.

    Raises:
        AddressError: it is not an address; the message says what one looks like.

    Example:
        >>> parse("node7"), parse("[::1]:80")
        (Address(host='node7', port=7077), Address(host='::1', port=80))
    """
    if text.count(":") > 1 and not text.startswith("["):
        try:
            return Address(str(ipaddress.IPv6Address(text)), default_port)
        except ValueError:
            pass  # not a bare IPv6 address either: the message below says what to write
    match = _WRITTEN.match(text.strip())
    port = int(match["port"] or default_port) if match else -1
    if not match or not 0 <= port <= 65535:
        raise AddressError(f"{text!r} is not an address: write HOST, HOST:PORT or [IPV6]:PORT")
    return Address(match["v6"] or match["host"] or DEFAULT_HOST, port)
