"""What the log says of peers: of each a few lines a minute, not more, each of them one line.

A stranger who connects a thousand times a second must not fill the server's disk with the news.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

from farm.printable import in_line

log = logging.getLogger("farm.server")

PER_MINUTE = 20
"""Lines about one network address."""

MAX_ADDRESSES = 1000
"""Addresses that are counted; the one without a complaint for longest is forgotten first."""


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

    def tell(self, host: str, peer: str, what: str, now: float) -> None:
        """Log a line, unless there were many about the same address.

        Args:
            host: the address that is counted.
            peer: what the line begins with.
            what: a clause; may hold anything that the peer has sent.
            now: seconds on a clock that only goes forward.
        """
        since, count = self._minutes.pop(host, (now, 0))
        if now - since >= 60.0:
            self._close(host, count)
            since, count = now, 0
        self._minutes[host] = (since, count + 1)
        if count < PER_MINUTE:
            log.log(self._level, "%s: %s", in_line(peer), in_line(what))
        elif count == PER_MINUTE:
            log.log(self._level, "%s: more of this kind; it is counted for a minute", host)
        if len(self._minutes) > MAX_ADDRESSES:
            oldest, (_, many) = self._minutes.popitem(last=False)
            self._close(oldest, many)

    def sweep(self, now: float) -> None:
        """Say what was counted, where the minute is over."""
        over = [host for host, (since, _) in self._minutes.items() if now - since >= 60.0]
        for host in over:
            self._close(host, self._minutes.pop(host)[1])

    def _close(self, host: str, count: int) -> None:
        if count > PER_MINUTE:
            log.log(self._level, "%s: %d of this kind within a minute", host, count)
