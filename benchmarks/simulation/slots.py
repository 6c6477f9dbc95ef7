"""Slots in which time passes and nothing is executed: the engine of a simulated node. Pure."""

from __future__ import annotations

import array
import functools
import heapq
import pickle
import random
from collections import deque
from dataclasses import dataclass

from farm.engines import base


@dataclass
class Pace:
    """How tasks go; all nodes of a process share one, so that it is changed in one place.

    Args:
        said: seconds that a task says it took, of which the server makes its leases.
        lasts: seconds that it really occupies its slot; 0 is as fast as the server can.
    """

    said: float = 1.0
    lasts: float = 1.0


class TimedSlots:
    """Slots that are busy for as long as a chunk takes; see `farm.engines.base.Engine`.

    A chunk of a real node is one task or some 40 ms of them, so that it comes back in one part,
    and so it does here. Times vary by half to either side, else all slots would end together.

    Args:
        slots: how many.
        pace: how long tasks take.
        chance: makes the times vary.

    Example:
        >>> slots = TimedSlots(1, Pace(lasts=0.0), random.Random(1))
        >>> slots.submit(base.Chunk(1, 1, 0, 3))
        >>> [type(event).__name__ for event in slots.poll(0.0)]
        ['Part', 'Ended']
    """

    def __init__(self, slots: int, pace: Pace, chance: random.Random) -> None:
        self.slots = slots
        self.now = 0.0
        """Seconds; `poll` moves it, and what is submitted begins then."""
        self._pace = pace
        self._chance = chance
        self._chunks: list[deque[base.Chunk]] = [deque() for _ in range(slots)]
        self._ends: list[tuple[float, int, int]] = []  # when, slot, chunk
        self._events: list[base.Event] = []

    @property
    def idle(self) -> int:
        """Slots without a chunk."""
        return sum(not chunks for chunks in self._chunks)

    @property
    def ahead(self) -> int:
        """Busy slots that take another one."""
        return sum(len(chunks) == 1 for chunks in self._chunks)

    @property
    def due(self) -> float | None:
        """When `poll` has something next; None if nothing runs."""
        if self._events:
            return self.now
        return self._ends[0][0] if self._ends else None

    def submit(self, chunk: base.Chunk, *, ahead: bool = False) -> None:
        """Give a chunk to a slot, or put it behind the one that a slot runs."""
        slot = next(n for n, chunks in enumerate(self._chunks) if len(chunks) == int(ahead))
        self._chunks[slot].append(chunk)
        if not ahead:
            self._begin(slot, self.now)

    def _begin(self, slot: int, when: float) -> None:
        chunk = self._chunks[slot][0]
        seconds = (chunk.stop - chunk.start) * self._pace.lasts * self._chance.uniform(0.5, 1.5)
        heapq.heappush(self._ends, (when + seconds, slot, chunk.id))

    def poll(self, now: float) -> list[base.Event]:
        """What has ended until ``now``."""
        self.now = now
        events, self._events = self._events, []
        while self._ends and self._ends[0][0] <= now:
            when, slot, chunk = heapq.heappop(self._ends)
            chunks = self._chunks[slot]
            if chunks and chunks[0].id == chunk:  # else it was cancelled
                events += _outcome(chunks.popleft(), self._pace.said)
                if chunks:
                    self._begin(slot, when)
        return events

    def take_back(self, batch: int | None = None) -> None:
        """Give back what waits behind another chunk."""
        for chunks in self._chunks:
            if len(chunks) > 1 and batch in (None, chunks[-1].batch):
                self._events.append(_lost(chunks.pop()))

    def cancel(self, batch: int) -> None:
        """Drop what there is of a batch."""
        for slot, chunks in enumerate(self._chunks):
            kept = deque(chunk for chunk in chunks if chunk.batch != batch)
            self._events += [_lost(chunk) for chunk in chunks if chunk.batch == batch]
            begins = bool(kept) and kept[0] is not chunks[0]
            self._chunks[slot] = kept
            if begins:
                self._begin(slot, self.now)

    def hurry(self) -> None:
        """Have what runs end now, because the node is to leave."""
        self._ends = [(self.now, slot, chunk) for _, slot, chunk in self._ends]


def _outcome(chunk: base.Chunk, seconds: float) -> tuple[base.Part, base.Ended]:
    payload, times = _results(chunk.stop - chunk.start, seconds)
    part = base.Part(chunk.id, chunk.batch, chunk.start, chunk.stop, payload, times)
    return part, base.Ended(chunk.id, chunk.batch, [])


def _lost(chunk: base.Chunk) -> base.Ended:
    return base.Ended(chunk.id, chunk.batch, [(chunk.start, chunk.stop)])


@functools.lru_cache(maxsize=1024)
def _results(count: int, seconds: float) -> tuple[bytes, bytes]:
    """What a slot gives back of tasks whose results are small integers."""
    times = array.array("f", [seconds]) * count
    return pickle.dumps([index % 100 for index in range(count)], protocol=5), times.tobytes()
