"""Which batch is served next: the highest priority, then the fewest busy slots. Pure.

A batch that cannot be served at the moment (paused, at a limit, all of it delayed) is not among
those to choose from; it comes back with the next change of it, or when its time has come.
"""

from __future__ import annotations

import heapq

from farm.server.states import Batch, Node

Entry = tuple[int, int, int]
"""Minus the priority, busy slots, id."""


class Schedule:
    """The batches that have something to be leased.

    Args:
        batches: all there are, by id; the ledger's own.
    """

    def __init__(self, batches: dict[int, Batch]) -> None:
        self._batches = batches
        self._now = 0.0
        # Those that are not strict, and those that are. Entries that no longer hold are dropped
        # when they come to the top: `Batch.entry` is the one that counts. Likewise `Batch.timed`
        # of the others, whose entries are (when, id).
        self._ready: tuple[list[Entry], list[Entry]] = [], []
        self._timed: list[tuple[float, int]] = []
        self._kept = False  # what there is was kept from a node, for a strict batch to come first

    def rank(self, state: Batch) -> None:
        """Put the batch where it now belongs."""
        if not self._is_ready(state):
            state.entry = None
            ready = self._ready[state.strict]
            if ready and ready[0][2] == state.id:
                self._settle(ready)  # so that it is known whether there is anything else
            self._look_again(state)
            return
        entry = _place(state)
        if state.entry != entry:
            state.entry = entry
            ready = self._ready[state.strict]
            heapq.heappush(ready, entry)
            if len(ready) > 64 + 4 * len(self._batches):
                known = self._batches.values()
                ready[:] = sorted(b.entry for b in known if b.entry and b.strict == state.strict)
        self._look_again(state)

    def _is_ready(self, state: Batch) -> bool:
        if state.paused or not (state.pending or state.again.any_due):
            return False
        return not state.strict or self.room(state) > 0

    def room(self, state: Batch) -> int:
        """How many tasks the limits of the batch let begin; a large number without limits."""
        room = state.waiting
        if state.options.max_parallel is not None:
            room = min(room, state.options.max_parallel - state.running)
        if state.pace is not None:
            room = min(room, state.pace.room(self._now))
        return room

    def _look_again(self, state: Batch) -> None:
        """Remember when time alone may change what there is to choose."""
        when = state.again.next_time
        if state.pace is not None and state.waiting and not state.pace.room(self._now):
            more = state.pace.next_time(self._now)
            when = more if when is None else min(when, more)
        if when is None or state.paused:
            return
        if state.timed is None or when < state.timed:
            state.timed = when
            heapq.heappush(self._timed, (when, state.id))
        if len(self._timed) > 64 + 4 * len(self._batches):
            timed = [(b.timed, b.id) for b in self._batches.values() if b.timed is not None]
            self._timed = sorted(timed)

    def wake(self, now: float) -> None:
        """It is ``now``: what has waited for that is among those to choose from."""
        self._now = max(self._now, now)
        while self._timed and self._timed[0][0] <= self._now:
            when, batch = heapq.heappop(self._timed)
            state = self._batches.get(batch)
            if state is not None and state.timed == when:
                state.timed = None
                state.again.wake(self._now)
                self.rank(state)

    @property
    def now(self) -> float:
        """The latest time that it was told."""
        return self._now

    @property
    def next_time(self) -> float | None:
        """When `wake` may have something to do next; None for never."""
        return self._timed[0][0] if self._timed else None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to choose for anybody, as the last `choose` has seen."""
        return not (self._ready[False] or self._ready[True])

    @property
    def for_idle_alone(self) -> bool:
        """Whether a node without an idle slot gets nothing, as the last `choose` has seen."""
        return self._kept or not self._ready[False]

    @property
    def any_strict(self) -> bool:
        """Whether some of what there is to choose, as the last `choose` has seen, is strict."""
        return bool(self._ready[True])

    def choose(self, node: Node, idle: int, *, alone: bool) -> Batch | None:
        """The batch to serve a node from; none where one that waits for an idle slot comes first.

        Args:
            node: that wants work.
            idle: its slots that have nothing to do.
            alone: whether there is no other node.
        """
        plain, strict = self._ready
        self._settle(plain)
        self._settle(strict)
        found = self._first(plain, node, alone=alone)
        if not idle:
            # Slots that are given more before they have nothing to do would never be idle.
            self._kept = found is not None and self._is_behind(found, strict, node, alone=alone)
            return None if self._kept else found
        self._kept = False
        best = self._first(strict, node, alone=alone)
        return best if found is None or (best and _place(best) < _place(found)) else found

    def _is_behind(self, found: Batch, strict: list[Entry], node: Node, *, alone: bool) -> bool:
        """Whether the first of the strict batches waits for a slot of a node, before ``found``.

        The others are not looked through: a node without an idle slot gets nothing of them.
        """
        if not strict:
            return False
        first = self._batches[strict[0][2]]
        suits = bool(first.pending) or first.again.suits(node.name, alone=alone)
        return suits and _place(first) < _place(found)

    def _settle(self, ready: list[Entry]) -> None:
        """Drop from the top what no longer holds."""
        while ready:
            state = self._batches.get(ready[0][2])
            if state is None or state.entry != ready[0]:
                heapq.heappop(ready)
            elif not self._is_ready(state):
                heapq.heappop(ready)
                state.entry = None
                self._look_again(state)
            else:
                return

    def _first(self, ready: list[Entry], node: Node, *, alone: bool) -> Batch | None:
        """The first of the settled batches in ``ready`` that has something for a node."""
        passed: list[Entry] = []
        found: Batch | None = None
        while ready:
            state = self._batches[ready[0][2]]
            if state.pending or state.again.suits(node.name, alone=alone):
                found = state
                break
            passed.append(heapq.heappop(ready))
            self._settle(ready)
        for entry in passed:
            heapq.heappush(ready, entry)
        return found


def _place(state: Batch) -> Entry:
    return -state.options.priority, state.busy, state.id
