"""What the log says of peers: of each a few lines a minute, not more, each of them one line.

A stranger who connects a thousand times a second must not fill the server's disk with the news.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

from farm.printable import in_line

log = logging.getLogger("farm.server")

PER_MINUTE = 20
"""Lines about one address; about one /64 of IPv6 (see `farm.server.networks`)."""

MAX_ADDRESSES = 1000
"""Of those that are counted, the one without a complaint for longest is forgotten first."""


class Complaints:
    """Logs them, within bounds.

    Args:
        level: of the lines.

    Example:
        >>> Complaints().tell("192.0.2.7", "192.0.2.7:4711", "refused", 0.0)
    """

    def __init__(self, level: int = logging.WARNING) -> None:
        self._level = level
        self._minutes: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def tell(self, network: str, peer: str, what: str, now: float) -> None:
        """Log a line, unless there were many about the same address or network.

        Args:
            network: what is counted, as `farm.server.networks.network_of` gives it.
            peer: what the line begins with.
            what: a clause; may hold anything that the peer has sent.
            now: seconds on a clock that only goes forward.
        """
        since, count = self._minutes.pop(network, (now, 0))
        if now - since >= 60.0:
            self._close(network, count)
            since, count = now, 0
        self._minutes[network] = (since, count + 1)
        if count < PER_MINUTE:
            log.log(self._level, "%s: %s", in_line(peer), in_line(what))
        elif count == PER_MINUTE:
            log.log(self._level, "%s: more of this kind; it is counted for a minute", network)
        if len(self._minutes) > MAX_ADDRESSES:
            oldest, (_, many) = self._minutes.popitem(last=False)
            self._close(oldest, many)

    def sweep(self, now: float) -> None:
        """Say what was counted, where the minute is over."""
        over = [network for network, (since, _) in self._minutes.items() if now - since >= 60.0]
        for network in over:
            self._close(network, self._minutes.pop(network)[1])

    def _close(self, network: str, count: int) -> None:
        if count > PER_MINUTE:
            log.log(self._level, "%s: %d of this kind within a minute", network, count)
