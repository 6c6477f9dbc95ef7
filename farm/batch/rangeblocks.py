"""Where a set of ranges keeps them: in blocks, so that a change moves few."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from itertools import chain
from operator import itemgetter

from farm.batch.merging import Columns

LIMIT = 2**63 - 1
"""No index reaches this; it is also the largest `len` Python can answer."""

_BLOCK = 512
"""Ranges that are kept together: a change moves what is behind it in one block alone. Twice as
many are two blocks."""

Range = tuple[int, int]

_Bisect = Callable[..., int]
_first = itemgetter(0)


class RangeBlocks:
    """Sorted, disjoint ranges that do not touch, as two columns of numbers cut into blocks.

    What the ranges mean is for those who derive from it (see `farm.batch.ranges`).
    """

    __slots__ = ("_count", "_lasts", "_number", "_starts", "_stops")

    def __init__(self) -> None:
        self._starts: list[list[int]] = []
        self._stops: list[list[int]] = []
        self._lasts: list[int] = []  # where each block ends
        self._count = 0  # of indices
        self._number = 0  # of ranges

    def _clear(self) -> None:
        self._starts, self._stops, self._lasts = [], [], []
        self._count = self._number = 0

    @property
    def _ends(self) -> Range:
        return self._starts[0][0], self._lasts[-1]

    def _blocks(self, start: int, stop: int) -> Range:
        """The blocks outside which nothing overlaps or touches ``[start, stop)``."""
        low = bisect_left(self._lasts, start)
        return low, bisect_right(self._starts, stop, low, key=_first)

    def _columns(self, start: int = 0, stop: int = LIMIT) -> Columns:
        """The ranges of the blocks that reach into ``[start, stop)``, as lists of their own."""
        low, high = self._blocks(start, stop)
        starts, stops = self._starts[low:high], self._stops[low:high]
        return list(chain.from_iterable(starts)), list(chain.from_iterable(stops))

    def _span(
        self, start: int, stop: int, left: _Bisect, right: _Bisect
    ) -> tuple[int, int, int, int]:
        """Where the ranges lie that end after ``start`` and begin before ``stop``.

        Args:
            start: first index.
            stop: index after the last one.
            left: `bisect_left` for those that end at ``start``, too; else `bisect_right`.
            right: the other one.

        Returns:
            Block and place of the first of them, and of the one after the last; the latter in the
            block of the last, and the same as the former if there is none.
        """
        block = left(self._lasts, start)
        if block == len(self._lasts):
            block = end = max(0, block - 1)
            low = high = len(self._stops[block]) if self._stops else 0
            return block, low, end, high
        low, end = left(self._stops[block], start), block
        if stop > self._lasts[block]:
            end = max(block, right(self._starts, stop, block, key=_first) - 1)
        return block, low, end, right(self._starts[end], stop)

    def _between(self, block: int, low: int, end: int, high: int) -> Columns:
        """The ranges from a place in one block to a place in a later one."""
        inner = slice(block + 1, end)
        return (
            list(chain(self._starts[block][low:], *self._starts[inner], self._starts[end][:high])),
            list(chain(self._stops[block][low:], *self._stops[inner], self._stops[end][:high])),
        )

    def _splice(self, block: int, low: int, end: int, high: int, pieces: list[Range]) -> None:
        """Put ``pieces`` in the place of the ranges from one place to another."""
        starts, stops = [start for start, _ in pieces], [stop for _, stop in pieces]
        if not self._starts:
            self._put(0, 0, (starts, stops))
            return
        mine, ends = self._starts[block], self._stops[block]
        if block != end:
            starts, stops = [*starts, *self._starts[end][high:]], [*stops, *self._stops[end][high:]]
            self._put(block, end + 1, ([*mine[:low], *starts], [*ends[:low], *stops]))
            return
        self._count += sum(stops) - sum(starts) + sum(mine[low:high]) - sum(ends[low:high])
        self._number += len(starts) - (high - low)
        mine[low:high], ends[low:high] = starts, stops
        if not mine:
            del self._starts[block], self._stops[block], self._lasts[block]
        elif len(mine) > 2 * _BLOCK:
            self._put(block, block + 1, (mine, ends))
        else:
            self._lasts[block] = ends[-1]

    def _put(self, low: int, high: int, columns: Columns) -> None:
        """Put these ranges in the place of the blocks ``[low, high)``, and keep the count."""
        starts, stops = columns
        gone = sum(map(sum, self._stops[low:high])) - sum(map(sum, self._starts[low:high]))
        self._count += sum(stops) - sum(starts) - gone
        self._number += len(starts) - sum(map(len, self._starts[low:high]))
        size = -(-len(starts) // max(1, -(-len(starts) // _BLOCK)))  # all of about one length
        cuts = range(0, len(starts), size or 1)
        self._starts[low:high] = [starts[cut : cut + size] for cut in cuts]
        self._stops[low:high] = blocks = [stops[cut : cut + size] for cut in cuts]
        self._lasts[low:high] = [block[-1] for block in blocks]
