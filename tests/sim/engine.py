"""A simulated engine: slots that run chunks in simulated time, fail, crash and are killed."""

from __future__ import annotations

import pickle
import random
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sim.clock import Process
from sim.tasks import Plan

from farm.engines import base


@dataclass
class Slot:
    """One slot: the chunks it was given, the first of them runs."""

    chunks: deque[base.Chunk] = field(default_factory=deque)
    position: int = 0  # the next index of the running chunk
    unsent: list[tuple[int, float]] = field(default_factory=list)
    sent: int = 0  # the first index that was not reported
    stop: int = 0  # the index behind the last one of the running chunk that is to run
    life: int = 0  # what was planned for an earlier life does not happen
    began: bool = False
    busy: bool = False


class SimulatedEngine:
    """Runs `Plan`s; see `farm.engines.base.Engine`.

    Args:
        slots: how many.
        process: the node's.
        chance: the world's.
        plan: says how a task of a batch behaves.
        begins: told of each execution that begins; ``ends`` of each that is over.
        changed: called when `poll` has something.
    """

    def __init__(
        self,
        slots: int,
        process: Process,
        chance: random.Random,
        plan: Callable[[int], Plan],
        begins: Callable[[int, int], int],
        ends: Callable[[int, int], None],
        changed: Callable[[], None],
    ) -> None:
        self.slots = slots
        self._process = process
        self._chance = chance
        self._plan = plan
        self._begins, self._ends = begins, ends
        self._changed = changed
        self._slots = [Slot() for _ in range(slots)]
        self._events: list[base.Event] = []
        self.programs: dict[int, base.Program] = {}

    # -- the protocol -------------------------------------------------------------------------

    @property
    def idle(self) -> int:
        """Slots without a chunk."""
        return sum(not slot.chunks for slot in self._slots)

    @property
    def ahead(self) -> int:
        """Busy slots that take another one."""
        return sum(len(slot.chunks) == 1 for slot in self._slots)

    @property
    def running(self) -> Sequence[base.Chunk]:
        """Chunks that have not ended."""
        return [chunk for slot in self._slots for chunk in slot.chunks]

    def add_program(self, program: base.Program) -> None:
        """Make a batch known."""
        self.programs[program.batch] = program

    def drop_program(self, batch: int) -> None:
        """Forget a batch."""
        self.programs.pop(batch, None)

    def submit(self, chunk: base.Chunk, *, ahead: bool = False) -> None:
        """Give a chunk to a slot."""
        assert chunk.batch in self.programs, "a chunk of a batch that is not known"
        wanted = 1 if ahead else 0
        slot = next(slot for slot in self._slots if len(slot.chunks) == wanted)
        slot.chunks.append(chunk)
        if not ahead:
            self._begin(slot)

    def take_back(self, batch: int | None = None) -> None:
        """What waits behind a chunk comes back, and what is left of one, but the next task."""
        for slot in self._slots:
            for chunk in [c for c in list(slot.chunks)[1:] if batch in (None, c.batch)]:
                slot.chunks.remove(chunk)
                self._give_up(chunk)
            if slot.chunks and batch in (None, slot.chunks[0].batch):
                self._cut(slot)

    def _cut(self, slot: Slot) -> None:
        chunk, rest = slot.chunks[0], (slot.position + 1, slot.stop)
        if rest[0] < rest[1]:
            slot.stop = rest[0]
            self._happened(base.Returned(chunk.id, chunk.batch, [rest]))

    def _give_up(self, chunk: base.Chunk) -> None:
        self._happened(base.Ended(chunk.id, chunk.batch, [(chunk.start, chunk.stop)]))

    def cancel(self, batch: int) -> None:
        """Kill what runs of a batch, drop what waits."""
        for slot in self._slots:
            for chunk in [c for c in list(slot.chunks)[1:] if c.batch == batch]:
                slot.chunks.remove(chunk)
                self._give_up(chunk)
            if slot.chunks and slot.chunks[0].batch == batch:
                self._die(slot, blamed=False)

    def poll(self) -> list[base.Event]:
        """What has happened."""
        events, self._events = self._events, []
        return events

    # -- in the slots -------------------------------------------------------------------------

    def _happened(self, event: base.Event) -> None:
        self._events.append(event)
        self._changed()

    def _begin(self, slot: Slot) -> None:
        """The first chunk of a slot begins."""
        slot.position = slot.sent = slot.chunks[0].start
        slot.stop = slot.chunks[0].stop
        slot.began = False
        self._process.call_soon(self._task, slot, slot.life)

    def _task(self, slot: Slot, life: int) -> None:
        """The next task of the running chunk begins."""
        if slot.life != life:
            return
        chunk = slot.chunks[0]
        if slot.position == slot.stop:
            self._flush(slot)
            self._end(slot)
            return
        slot.began = slot.busy = True
        attempt = self._begins(chunk.batch, slot.position)
        seconds = self._plan(chunk.batch).seconds(slot.position)
        self._process.call_later(seconds, self._over, slot, life, attempt, seconds)

    def _over(self, slot: Slot, life: int, attempt: int, seconds: float) -> None:
        if slot.life != life:
            return
        chunk, index = slot.chunks[0], slot.position
        slot.busy = False
        self._ends(chunk.batch, index)
        kind = self._plan(chunk.batch).kind(index, attempt)
        if kind == "crash":
            self._die(slot, blamed=True)
            return
        slot.position += 1
        if kind == "ok":
            slot.unsent.append((index, seconds))
        else:
            self._flush(slot)
            slot.sent = index + 1
            self._happened(self._failed(chunk, index, kind))
        if self._chance.random() < 0.3:
            self._flush(slot)
        self._task(slot, life)

    def _failed(self, chunk: base.Chunk, index: int, kind: str) -> base.Failed:
        return base.Failed(chunk.id, chunk.batch, index, kind, "ValueError", "no", "", None, 0.01)

    def _flush(self, slot: Slot) -> None:
        """Finished tasks leave the slot."""
        if not slot.unsent:
            return
        chunk, start = slot.chunks[0], slot.unsent[0][0]
        stop = start + len(slot.unsent)
        payload = pickle.dumps([(chunk.batch, index) for index, _ in slot.unsent])
        seconds = array("f", [taken for _, taken in slot.unsent]).tobytes()
        slot.unsent = []
        slot.sent = stop
        self._happened(base.Part(chunk.id, chunk.batch, start, stop, payload, seconds))

    def _end(self, slot: Slot) -> None:
        chunk = slot.chunks.popleft()
        self._happened(base.Ended(chunk.id, chunk.batch, []))
        if slot.chunks:
            self._begin(slot)

    def kill_slot(self) -> None:
        """As by kill -9 of a slot, if one has work."""
        busy = [slot for slot in self._slots if slot.chunks]
        if busy:
            self._die(self._chance.choice(busy), blamed=self._chance.random() < 0.7)

    def _die(self, slot: Slot, *, blamed: bool) -> None:
        """The slot's process ends; what it had finished and not sent is lost with it."""
        slot.life += 1
        chunk = slot.chunks[0]
        if slot.busy:
            slot.busy = False
            self._ends(chunk.batch, slot.position)
        lost = [(slot.sent, slot.stop)]
        if blamed and slot.began and slot.position < slot.stop:
            self._happened(self._failed(chunk, slot.position, "crash"))
            lost = [(slot.sent, slot.position), (slot.position + 1, slot.stop)]
        lost = [part for part in lost if part[0] < part[1]]
        self._happened(base.Ended(chunk.id, chunk.batch, lost, slot.began))
        slot.unsent = []
        slot.chunks.popleft()
        waiting = list(slot.chunks)
        slot.chunks.clear()
        for behind in waiting:
            self._give_up(behind)

    def abandon(self) -> None:
        """The node is dead, and its slots with it."""
        for slot in self._slots:
            slot.life += 1
            if slot.busy:
                self._ends(slot.chunks[0].batch, slot.position)
