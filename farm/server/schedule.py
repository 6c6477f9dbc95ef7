"""Which batch is served next: the highest priority, then the fewest busy slots. Pure.

A batch that cannot be served at the moment (paused, at a limit, all of it delayed) is not among
those to choose from; it comes back with the next change of it, or when its time has come.
"""

from __future__ import annotations

import heapq

from farm.server.states import Batch, Node


class Schedule:
    """The batches that have something to be leased.

    Args:
        batches: all there are, by id; the ledger's own.
    """

    def __init__(self, batches: dict[int, Batch]) -> None:
        self._batches = batches
        self._now = 0.0
        # Entries are (-priority, busy slots, id). Those that no longer hold are dropped when they
        # come to the top: `Batch.entry` is the one that counts. Likewise `Batch.timed` of the
        # second, whose entries are (when, id).
        self._ready: list[tuple[int, int, int]] = []
        self._timed: list[tuple[float, int]] = []

    def rank(self, state: Batch) -> None:
        """Put the batch where it now belongs."""
        if not self._is_ready(state):
            state.entry = None
            self._look_again(state)
            return
        entry = (-state.options.priority, state.busy, state.id)
        if state.entry != entry:
            state.entry = entry
            heapq.heappush(self._ready, entry)
        if len(self._ready) > 64 + 4 * len(self._batches):
            self._ready = sorted(b.entry for b in self._batches.values() if b.entry)
        self._look_again(state)

    def _is_ready(self, state: Batch) -> bool:
        if state.paused or not (state.pending or state.again.any_due):
            return False
        return self.room(state) > 0

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
        times = [state.again.next_time]
        if state.pace is not None and state.waiting and not state.pace.room(self._now):
            times.append(state.pace.next_time(self._now))
        known = [when for when in times if when is not None]
        if not known or state.paused:
            return
        when = min(known)
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
        return not self._ready

    def choose(self, node: Node, idle: int, *, alone: bool) -> Batch | None:
        """The batch to serve a node from.

        Args:
            node: that wants work.
            idle: its slots that have nothing to do.
            alone: whether there is no other node.
        """
        passed: list[tuple[int, int, int]] = []
        found: Batch | None = None
        while found is None and self._ready:
            entry = self._ready[0]
            state = self._batches.get(entry[2])
            if state is None or state.entry != entry:
                heapq.heappop(self._ready)
            elif not self._is_ready(state):
                heapq.heappop(self._ready)
                state.entry = None
                self._look_again(state)
            elif _suits(state, node, idle, alone=alone):
                found = state
            else:
                passed.append(heapq.heappop(self._ready))
        for entry in passed:
            heapq.heappush(self._ready, entry)
        return found


def _suits(state: Batch, node: Node, idle: int, *, alone: bool) -> bool:
    if state.strict and not idle:
        return False
    return bool(state.pending) or state.again.suits(node.name, alone=alone)
