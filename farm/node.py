"""What a node decides: what to lease, which chunk to run next, what to report. Pure.

No I/O, no threads; time does not matter here. `farm.worker` carries out what is decided and
brings back what happened.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from farm.batch.ranges import RangeSet
from farm.engines import base
from farm.wire.leases import Failed, Held, Lease, Part, Report
from farm.wire.messages import Block, Failure

CHUNK_SECONDS = 0.04
"""Work in one chunk: short enough to have one more ready behind it without hoarding."""

AHEAD_SECONDS = 0.05
"""A chunk is put behind a running one only if it is shorter than this."""

PREFETCH_SECONDS = 0.1
"""Work left on the node, for each slot, at which it asks for the next lease."""

MAX_REPORT_BYTES = 8 * 1024 * 1024
"""Bytes of results in one report, and of failures (one of each at least)."""

MAX_UNACKNOWLEDGED = 256 * 1024 * 1024
"""Payload bytes reported but not acknowledged at which the node asks for no more work."""

MAX_BLOCKS = 64
"""Blocks of arguments kept for each batch."""

MAX_IDLE_BATCHES = 64
"""Batches whose programs are kept although the node has no work of them."""

_MEAN_WEIGHT = 0.3


@dataclass(slots=True)
class Work:
    """What the node has of one batch."""

    batch: int
    pending: RangeSet = field(default_factory=RangeSet)
    running: RangeSet = field(default_factory=RangeSet)
    mean: float = 0.0
    ready: bool = False
    by_value: bool = False
    blocks: OrderedDict[int, base.Block] = field(default_factory=OrderedDict)
    missing: int | None = None  # an index whose block has been asked for

    def block_of(self, index: int) -> base.Block | None:
        """The block that holds ``index``, if the node has it."""
        for block in self.blocks.values():
            if block.start <= index < block.stop:
                return block
        return None


class Node:
    """The decisions of one node.

    Args:
        slots: how many tasks it runs at a time.

    Example:
        >>> node = Node(2)
        >>> node.lease(Lease(1, [(0, 10)], 0.01))
        >>> node.program_ready(1, by_value=False)
        >>> [(c.start, c.stop) for c, _ in node.chunks(idle=2, ahead=0)]
        [(0, 3), (3, 5)]
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.draining = False
        self._work: OrderedDict[int, Work] = OrderedDict()
        self._chunks: dict[int, base.Chunk] = {}
        self._last_chunk = 0
        self._wanted = 0
        self._parts: list[Part] = []
        self._failed: list[Failed] = []
        self._returned: list[Held] = []
        self._unacknowledged: dict[int, Report] = {}
        self._unacknowledged_bytes = 0

    # -- from the server ----------------------------------------------------------------------

    def lease(self, lease: Lease) -> None:
        """Work has come."""
        self._wanted = 0
        work = self._work.setdefault(lease.batch, Work(lease.batch))
        self._work.move_to_end(lease.batch)
        work.mean = lease.mean or work.mean
        for start, stop in lease.ranges:
            work.pending.add(start, stop)
        for block in lease.blocks:
            self.block(lease.batch, block)
        if self.draining:
            self._return_pending()

    def program_ready(self, batch: int, *, by_value: bool) -> None:
        """The engine knows what the batch runs; ``by_value`` if its arguments are blocks."""
        if batch in self._work:
            self._work[batch].ready = True
            self._work[batch].by_value = by_value

    def block(self, batch: int, block: Block) -> None:
        """A block of arguments has come."""
        work = self._work.get(batch)
        if work is None:
            return
        work.blocks[block.start] = base.Block(block.start, block.stop, block.payload)
        if work.missing is not None and block.start <= work.missing < block.stop:
            work.missing = None
        while len(work.blocks) > MAX_BLOCKS:
            work.blocks.popitem(last=False)

    def dropped(self, batch: int) -> None:
        """Nobody wants any more of a batch; its chunks are to be killed."""
        work = self._work.pop(batch, None)
        if work is not None:
            self._parts = [part for part in self._parts if part.batch != batch]
            self._failed = [failed for failed in self._failed if failed.batch != batch]

    def drop(self, held: Iterable[Held]) -> None:
        """Of what was presented, this is not wanted: forget what has not begun."""
        for claim in held:
            work = self._work.get(claim.batch)
            if work is not None:
                for start, stop in claim.ranges:
                    work.pending.discard(start, stop)

    def held(self) -> list[Held]:
        """All the node answers for, to present when it comes back."""
        found: dict[int, RangeSet] = {}
        for work in self._work.values():
            mine = found.setdefault(work.batch, work.pending.copy())
            for start, stop in work.running:
                mine.add(start, stop)
        parts, failures = self._unrecorded()
        for part in parts:
            found.setdefault(part.batch, RangeSet()).add(part.start, part.stop)
        for failed in failures:
            found.setdefault(failed.batch, RangeSet()).add(failed.index, failed.index + 1)
        return [Held(batch, list(ranges)) for batch, ranges in found.items() if ranges]

    def _unrecorded(self) -> tuple[list[Part], list[Failed]]:
        """What came of tasks and is not acknowledged, reported or not, oldest first."""
        reports = self._unacknowledged.values()
        parts = [part for report in reports for part in report.parts]
        failed = [failed for report in reports for failed in report.failed]
        return parts + self._parts, failed + self._failed

    # -- to the engine ------------------------------------------------------------------------

    def chunks(self, idle: int, ahead: int) -> list[tuple[base.Chunk, bool]]:
        """What to run next: chunks, and whether each goes behind a running one.

        Args:
            idle: slots without a chunk.
            ahead: busy slots that take another one.
        """
        chosen: list[tuple[base.Chunk, bool]] = []
        for work in self._work.values():
            while work.ready and work.pending and (idle or ahead):
                behind = not idle
                if behind and self._size(work) * work.mean >= AHEAD_SECONDS:
                    break
                chunk = self._cut(work)
                if chunk is None:
                    break
                chosen.append((chunk, behind))
                ahead -= behind
                idle -= not behind
        return chosen

    def _size(self, work: Work) -> int:
        """Tasks in the next chunk: `CHUNK_SECONDS` of work, fewer as the lease runs out."""
        if work.mean <= 0.0:
            return 1
        worth = int(CHUNK_SECONDS / work.mean)
        return max(1, min(worth, -(-work.pending.count // (2 * self.slots))))

    def _cut(self, work: Work) -> base.Chunk | None:
        """The next chunk, of consecutive indices; None if its arguments are not there yet."""
        start = work.pending.first
        block = work.block_of(start) if work.by_value else None
        if work.by_value and block is None:
            return None
        size = self._size(work)
        if block is not None:
            size = min(size, block.stop - start)
        (start, stop), *rest = work.pending.take(size)
        for part in rest:
            work.pending.add(*part)
        work.running.add(start, stop)
        self._last_chunk += 1
        chunk = base.Chunk(self._last_chunk, work.batch, start, stop, block)
        self._chunks[chunk.id] = chunk
        return chunk

    def events(self, events: Iterable[base.Event]) -> None:
        """What came of chunks."""
        for event in events:
            match event:
                case base.Part():
                    self._part(event)
                case base.Failed():
                    self._failure(event)
                case base.Ended():
                    self._ended(event)

    def _part(self, event: base.Part) -> None:
        work = self._work.get(event.batch)
        if work is None:
            return  # dropped meanwhile
        work.running.discard(event.start, event.stop)
        self._parts.append(Part(event.batch, event.start, event.stop, event.payload, event.seconds))

    def _failure(self, event: base.Failed) -> None:
        work = self._work.get(event.batch)
        if work is None:
            return
        work.running.discard(event.index, event.index + 1)
        reason = Failure(
            event.kind, event.type_name, event.message, event.traceback, event.exception
        )
        self._failed.append(Failed(event.batch, event.index, event.seconds, reason))

    def _ended(self, event: base.Ended) -> None:
        self._chunks.pop(event.chunk, None)
        work = self._work.get(event.batch)
        if work is None:
            return
        for start, stop in event.lost:
            work.running.discard(start, stop)
            work.pending.add(start, stop)
        if self.draining:
            self._return_pending()

    def learn(self, batch: int, tasks: int, seconds: float) -> None:
        """How long tasks of a batch took, all together."""
        work = self._work.get(batch)
        if work is not None and tasks:
            mean = max(seconds / tasks, 1e-9)
            work.mean += (mean - work.mean) * (_MEAN_WEIGHT if work.mean else 1.0)

    # -- to the server ------------------------------------------------------------------------

    def missing_blocks(self) -> list[tuple[int, int]]:
        """Blocks to ask for, as (batch, index); each is named once until it has come."""
        asked = []
        for work in self._work.values():
            if work.ready and work.by_value and work.pending and work.missing is None:
                index = work.pending.first
                if work.block_of(index) is None:
                    work.missing = index
                    asked.append((work.batch, index))
        return asked

    def want(self, idle: int) -> int:
        """For how many slots to ask for work now; 0 for not at all.

        Args:
            idle: slots without a chunk, after `chunks` was carried out.
        """
        if self.draining or self._unacknowledged_bytes > MAX_UNACKNOWLEDGED:
            return 0
        waiting = [work for work in self._work.values() if work.pending]
        if any(not work.ready or work.missing is not None for work in waiting):
            return 0  # work is here, only what it needs is still on its way
        left = sum(work.pending.count * work.mean for work in waiting)
        short = all(0 < work.mean < AHEAD_SECONDS for work in self._work.values() if work.running)
        if waiting or not idle:
            free = self.slots if short and left < PREFETCH_SECONDS * self.slots else 0
        else:
            free = idle
        if free <= self._wanted:
            return 0
        self._wanted = free
        return free

    def report(self) -> Report | None:
        """What to report now, as much as fits one message; None if there is nothing."""
        if not (self._parts or self._failed or self._returned):
            return None
        parts = _fitting([len(part.payload) for part in self._parts])
        failed = _fitting([_weight(failed.failure) for failed in self._failed])
        report = Report(self._parts[:parts], self._failed[:failed], self._returned)
        del self._parts[:parts], self._failed[:failed]
        self._returned = []
        return report

    def sent(self, number: int, report: Report) -> None:
        """A report is on its way under this number; it is kept until it is acknowledged."""
        self._unacknowledged[number] = report
        self._unacknowledged_bytes += _size_of(report)

    def acknowledged(self, number: int) -> None:
        """The server has journalled a report."""
        report = self._unacknowledged.pop(number, None)
        if report is not None:
            self._unacknowledged_bytes -= _size_of(report)

    def disconnected(self) -> None:
        """The connection is lost: what was not acknowledged is to be reported again."""
        self._wanted = 0
        self._parts, self._failed = self._unrecorded()
        # What was given back need not be said again: it is not among what is held.
        self._returned = []
        self._unacknowledged.clear()
        self._unacknowledged_bytes = 0
        for work in self._work.values():
            work.missing = None

    def drain(self) -> None:
        """Take nothing new, and give back what has not begun."""
        self.draining = True
        self._return_pending()

    def _return_pending(self) -> None:
        for work in self._work.values():
            if work.pending:
                self._returned.append(Held(work.batch, list(work.pending)))
                work.pending = RangeSet()

    @property
    def drained(self) -> bool:
        """Whether everything is reported and acknowledged."""
        nothing = not (self._chunks or self._parts or self._failed or self._returned)
        return nothing and not self._unacknowledged

    def needs_program(self) -> list[int]:
        """Batches whose program the engine does not know yet."""
        return [work.batch for work in self._work.values() if not work.ready]

    def forget_idle(self) -> list[int]:
        """Batches to forget, because too many are kept without work."""
        idle = [w.batch for w in self._work.values() if not w.pending and not w.running]
        gone = idle[: max(0, len(idle) - MAX_IDLE_BATCHES)]
        for batch in gone:
            del self._work[batch]
        return gone


def _fitting(sizes: list[int]) -> int:
    """How many of the first things fit one report: one at least, if there is one."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and total > MAX_REPORT_BYTES:
            return count
    return len(sizes)


def _weight(failure: Failure) -> int:
    return len(failure.text) + len(failure.traceback) + len(failure.exception or b"")


def _size_of(report: Report) -> int:
    return sum(len(part.payload) for part in report.parts)
