"""What a server bounds, with the defaults: `farm serve` has a setting for each."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one server.

    Args:
        max_connections: in all; None for as many as the process may have open files.
        max_unknown: that have not shown yet that they may come in. Where there are more, the one
            that has been silent for longest goes, so that newcomers are served.
        max_per_address: from one IPv4 address, or one /64 of IPv6.
        handshake_timeout: seconds for the handshake and the first request together.
        send_timeout: seconds in which a peer must take something of what it has asked for.
        max_frame: bytes of one message.
        max_queued: bytes that wait in memory, of messages on their way in, and of answers that
            have not been read: for each of the two, and all connections together.
        max_batch: bytes of one batch, its arguments and its code together.
        max_requests: of one connection in a second.
    """

    max_connections: int | None = None
    max_unknown: int = 512
    max_per_address: int = 4096
    handshake_timeout: float = 5.0
    send_timeout: float = 60.0
    max_frame: int = 64 * MIB
    max_queued: int = 1024 * MIB
    max_batch: int = 16 * 1024 * MIB
    max_requests: int = 10_000


DEFAULTS = Limits()
