"""The blocks of arguments that were used last: several nodes will ask for the same ones."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import OrderedDict

from farm.wire.messages import Block

CACHE_BYTES = 64 * 1024 * 1024


class BlockCache:
    """At most ``limit`` bytes of payload; the block unused for longest goes first."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._blocks: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._starts: dict[int, list[int]] = {}

    def get(self, batch: int, index: int) -> Block | None:
        """The block that holds ``index``, if it is here."""
        starts = self._starts.get(batch, [])
        at = bisect_right(starts, index) - 1
        if at < 0:
            return None
        key = (batch, starts[at])
        block = self._blocks[key]
        if index >= block.stop:
            return None
        self._blocks.move_to_end(key)
        return block

    def put(self, batch: int, block: Block) -> None:
        """Keep a block for a while."""
        key = (batch, block.start)
        if key in self._blocks:
            return
        self._blocks[key] = block
        self._size += len(block.payload)
        insort(self._starts.setdefault(batch, []), block.start)
        while self._size > self._limit and len(self._blocks) > 1:
            self._drop(*self._blocks.popitem(last=False))

    def drop(self, batch: int) -> None:
        """Forget those of a batch."""
        for start in list(self._starts.get(batch, ())):
            self._drop((batch, start), self._blocks.pop((batch, start)))

    def _drop(self, key: tuple[int, int], block: Block) -> None:
        self._size -= len(block.payload)
        starts = self._starts[key[0]]
        starts.pop(bisect_right(starts, key[1]) - 1)
        if not starts:
            del self._starts[key[0]]
