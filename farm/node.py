"""What a node decides: what to lease, which chunk to run next, what to report. Pure.

No I/O, no threads; time does not matter here. `farm.dialogue` says it to the server, `farm.worker`
carries it out.
"""

from __future__ import annotations

import array
from collections import OrderedDict
from collections.abc import Iterable

from farm.batch.ranges import RangeSet
from farm.delivery import Delivery
from farm.engines import base
from farm.holdings import Work
from farm.pacing import Pacing
from farm.shelf import MemoryShelf, Shelf
from farm.unable import MAY_HAVE_RUN
from farm.wire.leases import Held, Lease, Want, remaining, worth
from farm.wire.messages import Block, Failure, Range

AHEAD_SECONDS = 0.05
"""A chunk is put behind a running one only if it is shorter than this."""

PREFETCH_SECONDS = 0.1
"""Work left on the node, for each slot, at which it asks for the next lease."""

MAX_UNDELIVERED = 256 * 1024 * 1024
"""Payload bytes that are not acknowledged at which the node asks for no more work."""

MAX_IDLE_BATCHES = 64
"""Batches whose programs are kept although the node has no work of them."""


class Node:
    """The decisions of one node.

    Args:
        slots: how many tasks it runs at a time.
        shelf: keeps results until they are acknowledged.

    Example:
        >>> node = Node(2)
        >>> node.lease(Lease(1, [(0, 10)], 0.01))
        >>> node.program_ready(1, by_value=False)
        >>> [(c.start, c.stop) for c, _ in node.chunks(idle=2, ahead=0)]
        [(0, 3), (3, 5)]
    """

    def __init__(self, slots: int, shelf: Shelf | None = None) -> None:
        self.slots = slots
        self.draining = False
        self._work: OrderedDict[int, Work] = OrderedDict()
        self._chunks: dict[int, base.Chunk] = {}
        # Chunks of batches that nobody wanted any more, until they have ended: what comes of them
        # must not be taken for what comes of the batch when somebody has it tried again.
        self._dying: dict[int, int] = {}  # chunk -> batch
        self._last_chunk = 0
        self._wanted = (0, 0)
        self._pacing = Pacing()
        self.delivery = Delivery(shelf or MemoryShelf())

    # -- from the server ----------------------------------------------------------------------

    def lease(self, lease: Lease) -> None:
        """Work has come."""
        tasks = sum(stop - start for start, stop in lease.ranges)
        self._wanted = remaining(*self._wanted, tasks)
        work = self._work.setdefault(lease.batch, Work(lease.batch))
        self._work.move_to_end(lease.batch)
        work.mean = lease.mean or work.mean
        work.pace = self._pacing.pace = lease.pace
        work.recalled = False
        for start, stop in lease.ranges:
            work.pending.add(start, stop)
        for block in lease.blocks:
            self.block(lease.batch, block)
        if self.draining:
            self._return_pending()

    def program_ready(
        self, batch: int, *, by_value: bool, once: bool = False, counted: bool = False
    ) -> None:
        """The engine knows what the batch runs; what it is like, see `Work`."""
        if batch in self._work:
            work = self._work[batch]
            work.ready, work.by_value, work.once, work.counted = True, by_value, once, counted
            if once:  # it came for a slot that is idle
                self._work.move_to_end(batch, last=False)

    def block(self, batch: int, block: Block) -> None:
        """A block of arguments has come."""
        work = self._work.get(batch)
        if work is None:
            return
        work.keep(base.Block(block.start, block.stop, block.payload))

    def dropped(self, batch: int) -> None:
        """Nobody wants any more of a batch; its chunks are to be killed."""
        work = self._work.pop(batch, None)
        if work is not None:
            self.delivery.drop(batch)
        for chunk in [chunk for chunk in self._chunks.values() if chunk.batch == batch]:
            del self._chunks[chunk.id]
            self._dying[chunk.id] = batch

    def fail_pending(self, batch: int, reason: Failure, within: Range | None = None) -> None:
        """Tasks that have not begun never can: they have failed, all or those ``within``."""
        work = self._work.get(batch)
        if work is None:
            return
        self._pacing.came(0.0)
        for start, stop in work.pending.intersection(*within) if within else list(work.pending):
            work.pending.discard(start, stop)
            for index in range(start, stop):
                self.delivery.failed(batch, index, 0.0, reason)

    def not_asked(self, batch: int, index: int) -> None:
        """The block that holds ``index`` does not come."""
        if batch in self._work:
            self._work[batch].asked.discard(index)

    def give_up(self, batch: int, reason: Failure) -> None:
        """A batch whose program is not there yet cannot be run: what there is of it has failed."""
        self.fail_pending(batch, reason)
        self._work.pop(batch, None)

    def is_once(self, batch: int) -> bool:
        """Whether the tasks of a batch must not run twice, as far as the node knows."""
        return batch in self._work and self._work[batch].once

    def drop(self, held: Iterable[Held]) -> None:
        """Of what was presented, this is not wanted: forget what has not begun."""
        for claim in held:
            work = self._work.get(claim.batch)
            if work is not None:
                for start, stop in claim.ranges:
                    work.pending.discard(start, stop)

    def recall(self, batch: int) -> None:
        """Others have nothing to do, or the batch is paused: give back what has not begun."""
        work = self._work.get(batch)
        if work is not None:
            work.recalled = True
            self._give_back(work)

    def held(self) -> list[Held]:
        """What the node has and will deliver, to present when it comes back; not what failed."""
        found = self.delivery.results()
        for work in self._work.values():
            mine = found.setdefault(work.batch, RangeSet())
            for start, stop in (*work.pending, *work.running):
                mine.add(start, stop)
        return [Held(batch, list(ranges)) for batch, ranges in found.items() if ranges]

    # -- to the engine ------------------------------------------------------------------------

    def feed(self, engine: base.Engine) -> int:
        """Give the engine what it is to run next; how many slots are left without a chunk."""
        idle = engine.idle
        if any(work.pending for work in self._work.values()):
            for chunk, behind in self.chunks(idle, engine.ahead):
                engine.submit(chunk, ahead=behind)
                idle -= not behind
        if idle:
            engine.take_back()
        return idle

    def chunks(self, idle: int, ahead: int) -> list[tuple[base.Chunk, bool]]:
        """What to run next: chunks, and whether each goes behind a running one.

        Args:
            idle: slots without a chunk.
            ahead: busy slots that take another one.
        """
        chosen: list[tuple[base.Chunk, bool]] = []
        if not (idle or ahead):
            return chosen
        dying = set(self._dying.values())
        for work in self._work.values():
            if work.batch in dying:
                continue  # it begins anew when what ran of it has ended
            while work.ready and work.pending and (idle or ahead):
                behind = not idle
                if behind and work.once:
                    # What waits in a slot that dies may have begun, and if others were put there
                    # in its place, no slot would ever be idle for it.
                    return chosen
                if behind and work.chunk_size(self.slots) * work.mean >= AHEAD_SECONDS:
                    break
                chunk = self._cut(work)
                if chunk is None:
                    break
                chosen.append((chunk, behind))
                ahead -= behind
                idle -= not behind
        return chosen

    def _cut(self, work: Work) -> base.Chunk | None:
        """The next chunk; None if its arguments are not there yet."""
        cut = work.cut(self.slots)
        if cut is None:
            return None
        self._last_chunk += 1
        chunk = base.Chunk(self._last_chunk, work.batch, *cut)
        self._chunks[chunk.id] = chunk
        return chunk

    def events(self, events: Iterable[base.Event]) -> None:
        """What came of chunks."""
        for event in events:
            if event.chunk in self._dying:
                if isinstance(event, base.Ended):
                    del self._dying[event.chunk]
                continue
            match event:
                case base.Part():
                    self._part(event)
                case base.Failed():
                    self._failure(event)
                case base.Returned():
                    self._owe(event.batch, event.lost)
                case base.Ended():
                    self._chunks.pop(event.chunk, None)
                    self._owe(event.batch, event.lost, begun=event.begun)

    def _part(self, event: base.Part) -> None:
        work = self._work.get(event.batch)
        if work is None:
            return  # dropped meanwhile
        work.learn(event.stop - event.start, sum(array.array("f", event.seconds)))
        work.running.discard(event.start, event.stop)
        self._pacing.came(work.pace)
        self.delivery.done(event)

    def _failure(self, event: base.Failed) -> None:
        work = self._work.get(event.batch)
        if work is None:
            return
        work.running.discard(event.index, event.index + 1)
        self._pacing.came(work.failure_pace)
        reason = Failure(
            event.kind, event.type_name, event.message, event.traceback, event.exception
        )
        self.delivery.failed(event.batch, event.index, event.seconds, reason)

    def _owe(self, batch: int, lost: Iterable[Range], *, begun: bool = False) -> None:
        """These have left their slot without an outcome."""
        work = self._work.get(batch)
        if work is None:
            return
        for start, stop in lost:
            work.running.discard(start, stop)
            if begun and work.once:
                self._lose(batch, start, stop)
            else:
                work.pending.add(start, stop)
        if self.draining or work.recalled:
            self._give_back(work)

    def _lose(self, batch: int, start: int, stop: int) -> None:
        """A slot died with tasks that must not run twice and may have."""
        self._pacing.came(0.0)
        for index in range(start, stop):
            self.delivery.failed(batch, index, 0.0, MAY_HAVE_RUN)

    # -- to the server ------------------------------------------------------------------------

    def missing_blocks(self) -> list[tuple[int, int]]:
        """Blocks to ask for, as (batch, index); each is named once until it has come."""
        return [
            (work.batch, index)
            for work in self._work.values()
            if work.ready and work.by_value and work.pending
            for index in work.to_ask(2 * self.slots + 1)
        ]

    def want(self, idle: int) -> Want | None:
        """What to ask for; None for nothing, or for what was asked for already.

        Args:
            idle: slots without a chunk, after `chunks` was carried out.
        """
        wanted = (self._free(idle), idle)
        if not self._is_more(wanted):
            return None
        self._wanted = wanted
        return Want(*wanted, self._ahead if self._pacing.pace else 0.0)

    def _is_more(self, wanted: tuple[int, int]) -> bool:
        """Whether the server does not know yet that so much is wanted."""
        free, idle = wanted
        return free > 0 and (free > self._wanted[0] or idle > self._wanted[1])

    @property
    def _ahead(self) -> float:
        """Seconds of work that wait, for each slot."""
        return sum(work.pending.count * work.mean for work in self._work.values()) / self.slots

    def _free(self, idle: int) -> int:
        """For how many slots there is not enough work."""
        if self.draining or self.delivery.bytes > MAX_UNDELIVERED:
            return 0
        waiting = [work for work in self._work.values() if work.pending]
        if any(not work.ready or work.is_stuck for work in waiting):
            return 0  # work is here, only what it needs is still on its way
        running = [work for work in self._work.values() if work.running]
        late = any(work.recalled for work in running)  # what comes ahead would wait for them, too
        if self._pacing.pace:
            return max(0 if late else self._lacking(), 0 if waiting else idle)
        left = sum(work.pending.count * work.mean for work in waiting)
        short = not late and all(0 < work.mean < AHEAD_SECONDS for work in running)
        if waiting or not idle:
            return self.slots if short and left < PREFETCH_SECONDS * self.slots else 0
        return idle

    def _lacking(self) -> int:
        """Slots that will have nothing to do before the node speaks the next time but one."""
        mean = next((work.mean for work in reversed(self._work.values())), 0.0)
        seconds = max(0.0, worth(self._pacing.pace) - self._ahead)
        return min(self.slots, int(seconds / mean * self.slots)) if mean else 0

    def keeps(self, idle: int, now: float) -> bool:
        """Whether what there is to say to the server is kept for a while, as it has asked for.

        A slot that has nothing to do does not wait for that: so nobody waits at a batch's end.

        Args:
            idle: slots without a chunk, after `chunks` was carried out.
            now: seconds.
        """
        if not self._pacing.keeps(now) or self.draining or self.delivery.presses:
            return False
        if idle and not any(work.pending for work in self._work.values()):
            return False
        if self._is_more((self._free(idle), idle)):
            self._pacing.came(self._pacing.pace)  # else nobody would wake up to say so
        return True

    @property
    def due(self) -> float | None:
        """When what is kept is to be said; None if nothing is."""
        return self._pacing.due

    def said(self, now: float) -> None:
        """The server was told what there was to say, as far as there was room."""
        if not self.delivery.waits:
            self._pacing.said(now)

    def disconnected(self) -> None:
        """The connection is lost, and with it what was asked for."""
        self._wanted = (0, 0)
        self._pacing.came(0.0)  # what it was told of is to be told again
        self.delivery.disconnected()
        for work in self._work.values():
            work.asked.clear()

    def drain(self) -> None:
        """Take nothing new, and give back what has not begun."""
        self.draining = True
        self._return_pending()

    def _return_pending(self) -> None:
        for work in self._work.values():
            self._give_back(work)

    def _give_back(self, work: Work) -> None:
        if work.pending:
            self.delivery.give_back(work.batch, work.pending)
            work.pending = RangeSet()

    @property
    def drained(self) -> bool:
        """Whether everything is reported and acknowledged."""
        return not self._chunks and self.delivery.empty

    @property
    def batches(self) -> list[int]:
        """The batches that it knows of."""
        return list(self._work)

    def needs_program(self) -> list[int]:
        """Batches that have work whose program the engine does not know yet."""
        return [work.batch for work in self._work.values() if not work.ready and work.pending]

    def forget_idle(self) -> list[int]:
        """Batches to forget, because too many are kept without work."""
        if len(self._work) <= MAX_IDLE_BATCHES:
            return []
        idle = [w.batch for w in self._work.values() if not w.pending and not w.running]
        gone = idle[: max(0, len(idle) - MAX_IDLE_BATCHES)]
        # What is refused of one that must not run twice is lost: until then that is to be known.
        untold = self.delivery.batches() if gone else set()
        gone = [batch for batch in gone if batch not in untold]
        for batch in gone:
            del self._work[batch]
        return gone
