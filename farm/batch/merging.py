"""Set operations on very many sorted ranges at once, by linear merges.

Ranges are two columns here, their starts and their stops, each in order: a sweep over both needs
to know how many ranges have begun and how many have ended, not which. So that everything is done by
sorting and comparing whole lists, and no loop of Python's looks at one range.
"""

from __future__ import annotations

from itertools import compress, islice
from operator import lt

Columns = tuple[list[int], list[int]]
"""Starts and stops of as many ranges."""


def united(starts: list[int], stops: list[int]) -> Columns:
    """The ranges whose ends these are, each index once; what overlaps or touches is one.

    Args:
        starts: in any order; quick where they consist of a few sorted pieces.
        stops: as many, in any order of their own. No range is empty.
    """
    starts, stops = sorted(starts), sorted(stops)
    # Where as many have ended as have begun, and nothing begins at once, there is a gap.
    apart = list(map(lt, stops, islice(starts, 1, None)))
    if all(apart):
        return starts, stops
    begun = [starts[0], *compress(islice(starts, 1, None), apart)]
    return begun, [*compress(stops, apart), stops[-1]]


def common(one: Columns, other: Columns) -> Columns:
    """What is in both of two sets, the ranges of each being apart from one another."""
    # From where a second range has begun until the first of the two ends.
    starts = sorted([*one[0], *other[0]])[1:]
    stops = sorted([*one[1], *other[1]])
    both = list(map(lt, starts, stops))
    return list(compress(starts, both)), list(compress(stops, both))


def remaining(one: Columns, other: Columns) -> Columns:
    """What is in the first of two sets and not in the second."""
    if not one[0] or not other[0]:
        return one
    first = min(one[0][0], other[0][0]) - 1
    last = max(one[1][-1], other[1][-1]) + 1
    return common(one, ([first, *other[1]], [*other[0], last]))
