"""How many tasks of a batch may begin by now: a token bucket. Pure."""

from __future__ import annotations

BURST_SECONDS = 0.1
"""What was not used of so long a time may be used at once."""

LEAST_WAIT = 0.001
"""Seconds until it is worth asking again."""


class Pace:
    """Lets ``rate`` tasks a second begin, in any ``t`` seconds ``rate * t`` and a small burst.

    The token bucket of traffic shaping (Turner, IEEE Communications Magazine 24(10), 1986).

    Args:
        rate: tasks a second.
        now: seconds of any clock that only goes forward.

    Example:
        >>> pace = Pace(5.0, now=0.0)
        >>> pace.room(0.0)
        1
        >>> pace.take(1, 0.0)
        >>> pace.room(0.1), pace.room(0.2)
        (0, 1)
    """

    __slots__ = ("_at", "_tokens", "limit", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self.limit = max(1.0, rate * BURST_SECONDS)
        self._tokens = 1.0
        self._at = now

    def _fill(self, now: float) -> float:
        return min(self.limit, self._tokens + max(0.0, now - self._at) * self.rate)

    def room(self, now: float) -> int:
        """How many tasks may begin."""
        return int(self._fill(now) + 1e-9)

    def take(self, tasks: int, now: float) -> None:
        """So many begin."""
        self._tokens = self._fill(now) - tasks
        self._at = max(self._at, now)

    def next_time(self, now: float) -> float:
        """When it is worth asking again: for a task, or with a high rate for several at once."""
        wanted = max(1.0, self.limit / 4)
        # A time that rounds to `now` would be asked for again and again.
        return now + max(LEAST_WAIT, (wanted - self._fill(now)) / self.rate)
