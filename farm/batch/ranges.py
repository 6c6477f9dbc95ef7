"""A set of task indices as sorted ranges: what is pending, leased or done in a few cells."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

LIMIT = 2**63 - 1
"""No index reaches this; it is also the largest `len` Python can answer."""

_COMPACT_AT = 512
"""Dead cells at the front that are tolerated before the lists are shortened."""

Range = tuple[int, int]


class RangeSet:
    """A set of indices in ``[0, 2**63 - 1)`` as sorted, disjoint, half-open ranges.

    Ranges that touch are merged. Looking up is O(log ranges). Adding at the end, returning to the
    front and removing from either end are amortised O(1) after the look-up; a change in the
    middle moves the pointers behind it, as in any list.

    Args:
        ranges: ``(start, stop)`` pairs in any order; they may overlap.

    Example:
        >>> pending = RangeSet([(0, 10)])
        >>> pending.take(4)
        [(0, 4)]
        >>> pending.discard(6, 8)
        >>> list(pending)
        [(4, 6), (8, 10)]
    """

    __slots__ = ("_count", "_head", "_starts", "_stops")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._head = 0  # cells before it are dead: removing from the front moves nothing
        self._count = 0
        for start, stop in sorted(ranges):
            self.add(start, stop)

    @classmethod
    def of_sorted(cls, starts: list[int], stops: list[int]) -> RangeSet:
        """The set of many ranges at once: those of each ``starts[i]`` and ``stops[i]``.

        Args:
            starts: in order.
            stops: no range overlaps the next; where they touch they are merged.
        """
        made = cls()
        if starts:
            made._starts = [starts[0]]
            made._starts += [b for a, b in zip(stops, starts[1:], strict=False) if a != b]
            made._stops = [a for a, b in zip(stops, starts[1:], strict=False) if a != b]
            made._stops.append(stops[-1])
            made._count = sum(made._stops) - sum(made._starts)
        return made

    def gaps(self, stop: int) -> RangeSet:
        """What of ``[0, stop)`` is not in the set, which has nothing beyond; O(ranges)."""
        starts, stops = [0, *self._stops[self._head :]], [*self._starts[self._head :], stop]
        if stops[0] == 0:
            del starts[0], stops[0]
        if starts and starts[-1] == stop:
            del starts[-1], stops[-1]
        return RangeSet.of_sorted(starts, stops)

    def without(self, part: RangeSet) -> RangeSet:
        """What is left when a part of it is taken out; O(ranges of both)."""
        # Where the one begins or the other ends something begins, and the other way round.
        starts = sorted([*self._starts[self._head :], *part._stops[part._head :]])
        stops = sorted([*self._stops[self._head :], *part._starts[part._head :]])
        pairs = [(a, b) for a, b in zip(starts, stops, strict=True) if a != b]
        return RangeSet.of_sorted([a for a, _ in pairs], [b for _, b in pairs])

    @property
    def count(self) -> int:
        """How many indices there are; O(1).

        There is no ``len``: `list` would make room for so many before it asks for the ranges.
        """
        return self._count

    @property
    def first(self) -> int:
        """The smallest index.

        Raises:
            IndexError: the set is empty.
        """
        if not self._count:
            raise IndexError("an empty set has no first index")
        return self._starts[self._head]

    @property
    def last(self) -> int:
        """The largest index.

        Raises:
            IndexError: the set is empty.
        """
        if not self._count:
            raise IndexError("an empty set has no last index")
        return self._stops[-1] - 1

    def add(self, start: int, stop: int) -> None:
        """Put in every index of ``[start, stop)``; those that are there stay.

        Raises:
            ValueError: it is not a range of indices.
        """
        if _is_empty(start, stop):
            return
        low = bisect_left(self._stops, start, self._head)
        high = bisect_right(self._starts, stop, low)
        if low < high:
            start = min(start, self._starts[low])
            stop = max(stop, self._stops[high - 1])
        self._splice(low, high, [(start, stop)])

    def discard(self, start: int, stop: int) -> None:
        """Take out every index of ``[start, stop)``; those that are missing do not matter.

        Raises:
            ValueError: it is not a range of indices.
        """
        if _is_empty(start, stop):
            return
        low = bisect_right(self._stops, start, self._head)
        high = bisect_left(self._starts, stop, low)
        if low >= high:
            return
        left = (self._starts[low], start)
        right = (stop, self._stops[high - 1])
        self._splice(low, high, [piece for piece in (left, right) if piece[0] < piece[1]])

    def intersection(self, start: int, stop: int) -> list[Range]:
        """The parts of ``[start, stop)`` that are in the set, in order.

        Raises:
            ValueError: it is not a range of indices.
        """
        if _is_empty(start, stop):
            return []
        low = bisect_right(self._stops, start, self._head)
        high = bisect_left(self._starts, stop, low)
        found = list(zip(self._starts[low:high], self._stops[low:high], strict=True))
        if found:
            found[0] = (max(start, found[0][0]), found[0][1])
            found[-1] = (found[-1][0], min(stop, found[-1][1]))
        return found

    def take(self, n: int, ranges: int | None = None) -> list[Range]:
        """Remove and return the ``n`` smallest indices in order; all if there are fewer.

        Args:
            n: how many.
            ranges: fewer than ``n``, if they would be more ranges than this.
        """
        taken: list[Range] = []
        while n > 0 and self._count and (ranges is None or len(taken) < ranges):
            start, stop = self._starts[self._head], self._stops[self._head]
            cut = min(stop, start + n)
            taken.append((start, cut))
            n -= cut - start
            self._splice(self._head, self._head + 1, [(cut, stop)] if cut < stop else [])
        return taken

    def take_back(self, n: int) -> list[Range]:
        """Remove and return the ``n`` largest indices in order; all if there are fewer."""
        taken: list[Range] = []
        while n > 0 and self._count:
            start, stop = self._starts[-1], self._stops[-1]
            cut = max(start, stop - n)
            taken.append((cut, stop))
            n -= stop - cut
            end = len(self._starts)
            self._splice(end - 1, end, [(start, cut)] if start < cut else [])
        taken.reverse()
        return taken

    def copy(self) -> RangeSet:
        """A set of its own with the same indices."""
        twin = RangeSet()
        twin._starts = self._starts[self._head :]
        twin._stops = self._stops[self._head :]
        twin._count = self._count
        return twin

    def _splice(self, low: int, high: int, pieces: list[Range]) -> None:
        """Put ``pieces`` in the place of the ranges ``[low, high)`` and keep the count."""
        self._count += sum(stop - start for start, stop in pieces)
        if high - low == 1:
            self._count -= self._stops[low] - self._starts[low]
        else:
            self._count -= sum(self._stops[low:high]) - sum(self._starts[low:high])
        if low == self._head and len(pieces) <= high:
            # Right-aligned over what goes, and over dead cells if need be: nothing behind moves.
            low = self._head = high - len(pieces)
        self._starts[low:high] = [start for start, _ in pieces]
        self._stops[low:high] = [stop for _, stop in pieces]
        if self._head > _COMPACT_AT and self._head * 2 > len(self._starts):
            del self._starts[: self._head], self._stops[: self._head]
            self._head = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def __contains__(self, index: object) -> bool:
        if not isinstance(index, int):
            return False
        at = bisect_right(self._starts, index, self._head) - 1
        return at >= self._head and index < self._stops[at]

    def __iter__(self) -> Iterator[Range]:
        return zip(self._starts[self._head :], self._stops[self._head :], strict=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RangeSet):
            return NotImplemented
        return self._count == other._count and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"


def _is_empty(start: int, stop: int) -> bool:
    if not 0 <= start <= stop <= LIMIT:
        raise ValueError(f"[{start}, {stop}) is not a range of indices")
    return start == stop
