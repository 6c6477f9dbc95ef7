"""Tasks to be tried again: not before their time, and rather not where they failed. Pure.

A task is *later* until its delay is over, then *due*. A due one is kept from the node where it
failed, as long as there is another that could take it, but not for ever: the other may be busy with
work of hours.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from farm.batch.rangeblocks import Range
from farm.batch.ranges import RangeSet

ELSEWHERE_SECONDS = 60.0
"""For so long a task waits for another node than the one where it failed."""

ANYWHERE = ""
"""In the place of a node's name: no node is to be avoided."""


MAX_RANGES = 1000
"""Ranges of tasks that are taken at once: each costs every message in which it is named."""


class Again:
    """The tasks of one batch that wait for another attempt.

    Example:
        >>> again = Again()
        >>> again.add(7, due=10.0, avoid="node1", now=9.0)
        >>> again.wake(10.0)
        >>> again.take(1, "node1", alone=False), again.take(1, "node2", alone=False)
        ([], [(7, 8)])
    """

    def __init__(self) -> None:
        self._later: dict[int, str] = {}  # index -> the node to avoid
        self._due: dict[str, RangeSet] = {}  # the node to avoid -> indices
        # When something is to be done about an index; in `_times` as (when, index), where entries
        # that no longer hold are dropped when they are met, or when they are too many.
        self._when: dict[int, float] = {}
        self._times: list[tuple[float, int]] = []

    @property
    def count(self) -> int:
        """How many tasks there are."""
        if not self._due:
            return len(self._later)
        return len(self._later) + sum(due.count for due in self._due.values())

    def __contains__(self, index: int) -> bool:
        return index in self._later or any(index in due for due in self._due.values())

    def add(self, index: int, *, due: float, avoid: str, now: float) -> None:
        """Try a task again from ``due`` on, on another node than ``avoid`` if there is one."""
        if due > now:
            self._later[index] = avoid
            self._remind(index, due)
        else:
            self._make_due(index, avoid, now)

    def _make_due(self, index: int, avoid: str, now: float) -> None:
        self._due.setdefault(avoid, RangeSet()).add(index, index + 1)
        if avoid != ANYWHERE:
            self._remind(index, now + ELSEWHERE_SECONDS)

    def _remind(self, index: int, when: float) -> None:
        self._when[index] = when
        heapq.heappush(self._times, (when, index))
        self._compact()

    def _compact(self) -> None:
        if len(self._times) > 64 + 4 * len(self._when):
            self._times = sorted((when, index) for index, when in self._when.items())

    def wake(self, now: float) -> None:
        """What has become due by now is; what has waited for another node for long enough ends."""
        while self._times and self._times[0][0] <= now:
            when, index = heapq.heappop(self._times)
            if self._when.get(index) != when:
                continue
            del self._when[index]
            avoid = self._later.pop(index, None)
            if avoid is not None:
                self._make_due(index, avoid, now)
            else:
                for node in list(self._due):
                    self._cut(node, index, index + 1)
                self._make_due(index, ANYWHERE, now)

    @property
    def next_time(self) -> float | None:
        """When `wake` has something to do next; None for never."""
        while self._times and self._when.get(self._times[0][1]) != self._times[0][0]:
            heapq.heappop(self._times)
        return self._times[0][0] if self._times else None

    @property
    def any_due(self) -> bool:
        """Whether some node could take something."""
        return bool(self._due)

    def suits(self, node: str, *, alone: bool) -> bool:
        """Whether there is something for a node; ``alone`` if there is no other."""
        return any(alone or avoid != node for avoid in self._due)

    def take(self, n: int, node: str, *, alone: bool) -> list[Range]:
        """Remove and return at most ``n`` due tasks for a node."""
        taken: list[Range] = []
        if not self._due:
            return taken
        for avoid in [avoid for avoid in self._due if alone or avoid != node]:
            due = self._due[avoid]
            if n > 0:
                before = due.count
                taken += due.take(n, MAX_RANGES - len(taken))
                n -= before - due.count
            if not due:
                del self._due[avoid]
        for start, stop in taken:
            _drop(self._when, start, stop)
        return taken

    def discard(self, start: int, stop: int) -> None:
        """These have an outcome, or nobody wants them any more."""
        for avoid in list(self._due):
            self._cut(avoid, start, stop)
        _drop(self._later, start, stop)
        _drop(self._when, start, stop)

    def _cut(self, avoid: str, start: int, stop: int) -> None:
        due = self._due[avoid]
        due.discard(start, stop)
        if not due:
            del self._due[avoid]

    def take_all(self, wanted: RangeSet) -> RangeSet:
        """Remove and return those of ``wanted`` that are here, whatever they wait for."""
        found = self._those_of(wanted) if wanted and self.count else RangeSet()
        if not found:
            return found
        if found.count == self.count:
            for known in (self._due, self._later, self._when, self._times):
                known.clear()
            return found
        for avoid in list(self._due):
            self._due[avoid] -= found
            if not self._due[avoid]:
                del self._due[avoid]
        for start, stop in found:
            for index in range(start, stop):
                self._later.pop(index, None)
                self._when.pop(index, None)
        self._compact()
        return found

    def _those_of(self, wanted: RangeSet) -> RangeSet:
        """Those of ``wanted`` that are here, looked for on the shorter side."""
        if wanted.count < len(self._later):
            asked = (index for part in wanted for index in range(*part))
            later = RangeSet((index, index + 1) for index in asked if index in self._later)
        else:
            later = self._later_ones() & wanted
        return RangeSet.union([later, *(due & wanted for due in self._due.values())])

    def _later_ones(self) -> RangeSet:
        later = sorted(self._later)
        return RangeSet.of_sorted(later, [index + 1 for index in later])

    def __iter__(self) -> Iterator[Range]:
        """All of them, as ranges in order."""
        return iter(RangeSet.union([self._later_ones(), *self._due.values()]))


def _drop(known: dict[int, float] | dict[int, str], start: int, stop: int) -> None:
    """Remove the indices of ``[start, stop)``, looked for on the shorter side."""
    if stop - start < len(known):
        for index in range(start, stop):
            known.pop(index, None)
    else:
        for index in [index for index in known if start <= index < stop]:
            del known[index]
