"""What a node has of one batch: tasks, and the blocks of arguments for them. Pure."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from farm.batch.ranges import RangeSet
from farm.engines import base

CHUNK_SECONDS = 0.04
"""Work in one chunk: short enough to have one more ready behind it without hoarding."""

MAX_BLOCKS = 64
"""Blocks of arguments kept of each batch although nothing of the oldest one is pending."""

MAX_AHEAD = 32_768
MAX_BLOCK_BYTES = 128 << 20
"""Blocks of arguments kept of each batch, and bytes in them; one there may always be. A lease may
bring tens of thousands of small ones, and no node has slots enough to ask for as many."""

AHEAD_BYTES = 16 << 20
"""Bytes of blocks that are asked for before they are needed."""

COUNTED_SECONDS = 1.0
"""Failures that may end their batch are kept no longer: until then it is run in vain."""

_MEAN_WEIGHT = 0.3


@dataclass(slots=True)
class Work:
    """What the node has of one batch."""

    batch: int
    pending: RangeSet = field(default_factory=RangeSet)
    running: RangeSet = field(default_factory=RangeSet)
    mean: float = 0.0
    pace: float = 0.0  # seconds between two reports
    ready: bool = False
    by_value: bool = False  # its arguments are blocks
    once: bool = False  # its tasks must not run twice
    counted: bool = False  # so many failures end it
    recalled: bool = False  # since the last lease; what of it runs may run for long
    blocks: OrderedDict[int, base.Block] = field(default_factory=OrderedDict)
    asked: set[int] = field(default_factory=set)  # indices whose blocks are on their way
    _starts: list[int] = field(default_factory=list)  # of the blocks, in order
    _bytes: int = 0  # of the blocks

    @property
    def failure_pace(self) -> float:
        """Seconds for which its failures may be kept."""
        return min(self.pace, COUNTED_SECONDS) if self.counted else self.pace

    # -- tasks --------------------------------------------------------------------------------

    def chunk_size(self, slots: int) -> int:
        """Tasks in the next chunk: `CHUNK_SECONDS` of work, fewer as the lease runs out."""
        if self.mean <= 0.0 or self.once:
            return 1
        worth = int(CHUNK_SECONDS / self.mean)
        return max(1, min(worth, -(-self.pending.count // (2 * slots))))

    def cut(self, slots: int) -> tuple[int, int, base.Block | None] | None:
        """Take consecutive indices as the next chunk, and their block; None if that is not there.

        Args:
            slots: of the node.
        """
        start = self.pending.first
        block = self.block_of(start) if self.by_value else None
        if self.by_value and block is None:
            return None
        size = self.chunk_size(slots)
        if block is not None:
            size = min(size, block.stop - start)
        (start, stop), *rest = self.pending.take(size)
        for part in rest:
            self.pending.add(*part)
        self.running.add(start, stop)
        return start, stop, block

    def learn(self, tasks: int, seconds: float) -> None:
        """How long some tasks took, all together."""
        if tasks:
            mean = max(seconds / tasks, 1e-9)
            self.mean += (mean - self.mean) * (_MEAN_WEIGHT if self.mean else 1.0)

    # -- blocks -------------------------------------------------------------------------------

    def keep(self, block: base.Block) -> None:
        """A block has come; others go where there are too many."""
        if block.start in self.blocks:
            return
        self.blocks[block.start] = block
        insort(self._starts, block.start)
        self._bytes += len(block.payload)
        self.asked = {at for at in self.asked if not block.start <= at < block.stop}
        while len(self.blocks) > MAX_BLOCKS and not self._needs(oldest := next(iter(self.blocks))):
            self._let_go(oldest)
        if len(self.blocks) > MAX_AHEAD:
            self._shed(MAX_AHEAD - MAX_AHEAD // 4)  # so that this is not done for each that comes
        elif self._bytes > MAX_BLOCK_BYTES:
            self._shed(len(self.blocks))

    def _needs(self, start: int) -> bool:
        """Whether tasks of a block have not begun."""
        return bool(self.pending.intersection(start, self.blocks[start].stop))

    def _shed(self, most: int) -> None:
        """Keep so many blocks: first those go that nothing needs, then those furthest ahead."""
        needed = [start for start in self._starts if self._needs(start)]
        unneeded = self.blocks.keys() - needed
        for start in [*filter(unneeded.__contains__, self.blocks), *reversed(needed)]:
            few = len(self.blocks) <= most and self._bytes <= MAX_BLOCK_BYTES
            if few or len(self.blocks) == 1:
                return
            self._let_go(start)

    def _let_go(self, start: int) -> None:
        self._bytes -= len(self.blocks.pop(start).payload)
        del self._starts[bisect_right(self._starts, start) - 1]

    def block_of(self, index: int) -> base.Block | None:
        """The block that holds ``index``, if the node has it."""
        at = bisect_right(self._starts, index) - 1
        block = self.blocks[self._starts[at]] if at >= 0 else None
        return block if block is not None and index < block.stop else None

    @property
    def is_stuck(self) -> bool:
        """Whether it cannot go on before a block has come that was asked for."""
        if not (self.pending and self.asked):
            return False
        return self.block_of(self.pending.first) is None

    def to_ask(self, most: int) -> Iterator[int]:
        """The next indices whose blocks are to be asked for; each is named once until it has come.

        Where blocks end is not known before they are here. They are mostly of one length: those
        ahead are guessed at by the newest one. A guess that is wrong brings a block twice.

        Args:
            most: blocks that there may be ahead, those that are here included.
        """
        newest = self.blocks[next(reversed(self.blocks))] if self.blocks else None
        if newest is not None:
            most = min(most, AHEAD_BYTES // max(1, len(newest.payload)))
        at = 0
        for _ in range(max(1, most)):
            start = next(self.pending.walk(at), None)
            if start is None:
                return
            at = start[0]
            block = self.block_of(at)
            if block is None and at not in self.asked:
                if len(self.asked) >= most and at != self.pending.first:
                    return  # some that were asked for lie further ahead
                self.asked.add(at)
                yield at
            if block is not None:
                at = block.stop
            elif newest is not None:
                at += newest.stop - newest.start
            else:
                return
