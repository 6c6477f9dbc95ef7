"""What the log says of peers that misbehave: each of them a few lines a minute, not more.

A stranger who connects a thousand times a second must not fill the server's disk with the news.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

log = logging.getLogger("farm.server")

PER_MINUTE = 20
"""Lines about one network address."""

MAX_ADDRESSES = 1000
"""Addresses that are counted; the one without a complaint for longest is forgotten first."""


class Complaints:
    """Logs them, within bounds.

    Example:
        >>> Complaints().tell("192.0.2.7", "192.0.2.7:4711", "refused", 0.0)
    """

    def __init__(self) -> None:
        self._minutes: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def tell(self, host: str, peer: str, what: str, now: float) -> None:
        """Log a line, unless there were many about the same address.

        Args:
            host: the address that is counted.
            peer: what the line begins with.
            what: a clause.
            now: seconds on a clock that only goes forward.
        """
        since, count = self._minutes.pop(host, (now, 0))
        if now - since >= 60.0:
            self._close(host, count)
            since, count = now, 0
        self._minutes[host] = (since, count + 1)
        if count < PER_MINUTE:
            log.warning("%s: %s", peer, what)
        elif count == PER_MINUTE:
            log.warning("%s: more of this kind; it is counted for a minute", host)
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
            log.warning("%s: %d of this kind within a minute", host, count)
