"""What all connections together may keep waiting in memory of messages that are not complete.

A long message is let in when there is room for all of it; until then its connection is not read,
and the network holds the rest back. Pure: time is passed in.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

FREE = 1024 * 1024
"""Bytes of a message that needs no room: nearly all of them."""

STALL_SECONDS = 10.0
MIN_RATE = 64 * 1024
"""Bytes a second at which a message must arrive while others wait for its room."""


class Holder(Protocol):
    """A connection, as far as this goes."""

    @property
    def received(self) -> int:
        """Bytes that have come so far, since it was made."""

    def admitted(self) -> None:
        """There is room now."""

    def cut_off(self, why: str) -> None:
        """Close it, and log why."""


class Budget:
    """Room for unfinished messages.

    Args:
        limit: bytes of all of them together.

    Example:
        >>> budget = Budget(100)
        >>> budget.take(connection, 80), budget.take(other, 80)  # doctest: +SKIP
        (True, False)
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = limit
        self._held: dict[Holder, int] = {}
        self._waiting: OrderedDict[Holder, int] = OrderedDict()
        self._marks: dict[Holder, tuple[float, int]] = {}

    def take(self, holder: Holder, size: int) -> bool:
        """Ask for room for a message; if there is none, `Holder.admitted` is called later.

        Args:
            holder: has given back what it had before.
            size: bytes; one that is larger than the limit waits until it is alone.
        """
        if self._waiting or not self._fits(size):
            self._waiting[holder] = size
            return False
        self._give(holder, size)
        return True

    def _fits(self, size: int) -> bool:
        return size <= self._free or not self._held

    def _give(self, holder: Holder, size: int) -> None:
        self._held[holder] = size
        self._free -= size

    def give_back(self, holder: Holder) -> None:
        """A message is complete, or will never be."""
        self._waiting.pop(holder, None)
        self._marks.pop(holder, None)
        self._free += self._held.pop(holder, 0)
        while self._waiting:
            first, size = next(iter(self._waiting.items()))
            if not self._fits(size):
                return
            del self._waiting[first]
            self._give(first, size)
            first.admitted()

    def sweep(self, now: float) -> None:
        """Cut off those whose message hardly comes on while others wait for its room."""
        if not self._waiting:
            self._marks.clear()
            return
        for holder in list(self._held):
            since, before = self._marks.setdefault(holder, (now, holder.received))
            if now - since < STALL_SECONDS:
                continue
            if holder.received - before < MIN_RATE * (now - since):
                holder.cut_off(
                    "its message comes on too slowly, and others wait for its room (--max-queued)"
                )
            else:
                self._marks[holder] = (now, holder.received)


class Allowance:
    """So many requests a second: a token bucket that holds those of one second.

    Args:
        rate: requests a second.
        now: seconds on a clock that only goes forward, as for `take`.

    Example:
        >>> allowance = Allowance(2, 0.0)
        >>> [allowance.take(now) for now in (0.0, 0.0, 0.1, 0.5)]
        [True, True, False, True]
    """

    def __init__(self, rate: int, now: float) -> None:
        self._rate = rate
        self._left = float(rate)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether one more request may be served now."""
        self._left = min(float(self._rate), self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
