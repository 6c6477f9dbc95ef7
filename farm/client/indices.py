"""Indices that a caller names, one by one or as ranges, as the ranges that travel."""

from __future__ import annotations

from collections.abc import Iterable

from farm.batch.rangeblocks import LIMIT, Range
from farm.batch.ranges import RangeSet
from farm.errors import UsageError


def merged(indices: Iterable[int | range]) -> list[Range]:
    """The same indices as half-open ranges: in order, apart from one another.

    Args:
        indices: in any order, some maybe more than once.

    Raises:
        UsageError: one of them cannot be an index.

    Example:
        >>> merged([3, range(7, 10), 4, 8])
        [(3, 5), (7, 10)]
    """
    found = RangeSet()
    for one in indices:
        if isinstance(one, range) and one.step == 1:
            _add(found, one.start, max(one.start, one.stop))
            continue
        for index in one if isinstance(one, range) else (one,):
            if not isinstance(index, int):
                raise UsageError(f"{index!r} is not an index: give numbers and ranges")
            _add(found, index, index + 1)
    return list(iter(found))  # of the set itself, list() would ask how many indices it has


def _add(found: RangeSet, start: int, stop: int) -> None:
    if start < 0 or stop > LIMIT:
        raise UsageError(f"no task has the index {start if start < 0 else stop - 1}")
    found.add(start, stop)
