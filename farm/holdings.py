"""What a node has of one batch: tasks, and the blocks of arguments for them. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from farm.batch.ranges import RangeSet
from farm.engines import base

MAX_BLOCKS = 64
MAX_BLOCK_BYTES = 128 << 20
"""Blocks of arguments kept of each batch, and bytes in them; one there may always be."""

AHEAD_BYTES = 16 << 20
"""Bytes of blocks that are asked for before they are needed."""


@dataclass(slots=True)
class Work:
    """What the node has of one batch."""

    batch: int
    pending: RangeSet = field(default_factory=RangeSet)
    running: RangeSet = field(default_factory=RangeSet)
    mean: float = 0.0
    pace: float = 0.0  # seconds between two reports
    ready: bool = False
    by_value: bool = False
    once: bool = False  # its tasks must not run twice
    blocks: OrderedDict[int, base.Block] = field(default_factory=OrderedDict)
    asked: set[int] = field(default_factory=set)  # indices whose blocks are on their way
    _bytes: int = 0  # of the blocks

    def keep(self, block: base.Block) -> None:
        """A block has come; the oldest ones go where there are too many."""
        if block.start in self.blocks:
            return
        self.blocks[block.start] = block
        self._bytes += len(block.payload)
        self.asked = {at for at in self.asked if not block.start <= at < block.stop}
        while len(self.blocks) > MAX_BLOCKS or self._bytes > MAX_BLOCK_BYTES:
            if len(self.blocks) == 1:
                return
            self._bytes -= len(self.blocks.popitem(last=False)[1].payload)

    def block_of(self, index: int) -> base.Block | None:
        """The block that holds ``index``, if the node has it."""
        for block in reversed(self.blocks.values()):  # the newest is the likeliest
            if block.start <= index < block.stop:
                return block
        return None

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
