"""Which points of a matrix remain when some are excluded: found by counting, never by a scan.

A walk goes through the names in order. At each name, what matters of the values chosen so far is
only which excludes still match; all values that no such exclude names lead to the same place. So
the points below a place are counted once per (name, excludes that still match), and the point of
an index is found by comparing the index with those counts, name by name.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farm.batch.plain import SpaceError, key
from farm.batch.values import Run, Values

MAX_WORK = 2_000_000
"""Bound on the cells and steps that counting may take: about a second, and 100 MB at the worst."""

MAX_PLACES = 100_000
"""Bound on the places that are kept."""

Active = tuple[int, ...]


@dataclass(slots=True, frozen=True)
class Place:
    """What follows one name, as stretches of positions that lead to the same place.

    Args:
        starts: first position of each stretch that leads anywhere.
        offsets: points before each stretch, and as a last cell all points of this place.
        counts: points below one position of each stretch.
        below: the next place of each stretch; None where no exclude matters any more.
    """

    starts: list[int]
    offsets: list[int]
    counts: list[int]
    below: list[Place | None]

    @property
    def total(self) -> int:
        """The points below this place."""
        return self.offsets[-1]


class Counting:
    """The points of a matrix that no exclude matches.

    Args:
        values: one `Values` a name.
        weights: for each depth, the product of the sizes of the names after it.
        excludes: for each exclude, the value it wants by depth.

    Raises:
        SpaceError: the excludes are tangled so much that counting would take too long.
    """

    def __init__(
        self,
        values: Sequence[Values],
        weights: Sequence[int],
        excludes: Sequence[Mapping[int, Any]],
    ) -> None:
        self._values = values
        self._weights = weights
        self._wanted = excludes
        self._last = [max(wanted, default=-1) for wanted in excludes]
        self._places: dict[tuple[int, Active], Place] = {}
        self._work = 0
        whole = weights[0] * values[0].count
        self.total, self._root = self._follow(-1, tuple(range(len(excludes))), whole)

    def walk(self, index: int) -> tuple[list[int], int, int]:
        """Where a kept point is.

        Args:
            index: in ``[0, total)``.

        Returns:
            The positions of the first names, the index among the points of the names that are
            left (all kept), and how many kept points from this one on differ in no earlier name.
        """
        positions: list[int] = []
        place: Place | None = self._root
        left = self.total - index
        while place is not None:
            at = bisect_right(place.offsets, index) - 1
            left = place.offsets[at + 1] - index
            step, index = divmod(index - place.offsets[at], place.counts[at])
            positions.append(place.starts[at] + step)
            place = place.below[at]
        return positions, index, left

    def _follow(self, depth: int, active: Active, free: int) -> tuple[int, Place | None]:
        """The points below a value of the name at ``depth`` that the active excludes match."""
        if any(self._last[exclude] <= depth for exclude in active):
            return 0, None
        if not active:
            return free, None
        place = self._places.get((depth + 1, active))
        if place is None:
            place = self._place(depth + 1, active)
            self._places[depth + 1, active] = place
            if len(self._places) > MAX_PLACES:
                raise _tangled()
        return place.total, place

    def _place(self, depth: int, active: Active) -> Place:
        weight = self._weights[depth]
        indifferent, groups = self._split(depth, active)
        special: list[tuple[int, int, int, Place | None]] = []
        for value, members in groups:
            runs = self._values[depth].runs(value)
            self._spend(len(runs) + len(indifferent) + len(members))
            if runs:
                count, below = self._follow(depth, tuple(sorted(indifferent + members)), weight)
                special += [(start, stop, count, below) for start, stop in runs]
        special.sort(key=lambda stretch: stretch[0])
        rest = self._follow(depth, tuple(indifferent), weight)
        return _join(special, rest, self._values[depth].count)

    def _split(self, depth: int, active: Active) -> tuple[list[int], list[tuple[Any, list[int]]]]:
        """The excludes that do not name this depth, and the others grouped by the value wanted."""
        self._spend(len(active))
        indifferent: list[int] = []
        groups: dict[Any, tuple[Any, list[int]]] = {}
        for exclude in active:
            wanted = self._wanted[exclude]
            if depth in wanted:
                value = wanted[depth]
                groups.setdefault(key(value), (value, []))[1].append(exclude)
            else:
                indifferent.append(exclude)
        return indifferent, list(groups.values())

    def _spend(self, cells: int) -> None:
        self._work += cells
        if self._work > MAX_WORK:
            raise _tangled()


def _join(
    special: list[tuple[int, int, int, Place | None]], rest: tuple[int, Place | None], size: int
) -> Place:
    place = Place([], [], [], [])
    points = 0

    def append(run: Run, count: int, below: Place | None) -> None:
        nonlocal points
        if run[0] < run[1] and count:
            place.starts.append(run[0])
            place.offsets.append(points)
            place.counts.append(count)
            place.below.append(below)
            points += (run[1] - run[0]) * count

    reached = 0
    for start, stop, count, below in special:
        append((reached, start), *rest)
        append((start, stop), count, below)
        reached = stop
    append((reached, size), *rest)
    place.offsets.append(points)
    return place


def _tangled() -> SpaceError:
    return SpaceError(
        "the excludes overlap in too many ways to be counted; "
        "use fewer of them, or name the same names in each"
    )
