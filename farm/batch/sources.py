"""Where points come from: a matrix, columns read in step, or points as they were written.

Apart from `space.py`, which adds what is included and speaks documents. Slots import it.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from farm.batch.counting import Counting
from farm.batch.plain import SpaceError, is_container, key
from farm.batch.ranges import RangeSet
from farm.batch.values import MAX_COUNT, Run, Values

Point = dict[str, Any]

MAX_NAMES = 200
"""The most names a matrix can have."""


class Source(ABC):
    """Points by index; immutable. ``names`` are those every point has, ``count`` the points."""

    __slots__ = ("containers", "count", "names")

    names: tuple[str, ...]
    count: int
    containers: bool  # whether any value is a list or a mapping

    @abstractmethod
    def at(self, index: int) -> Point:
        """The point of an index in ``[0, count)``."""

    @abstractmethod
    def between(self, start: int, stop: int) -> Iterator[Point]:
        """The points ``[start, stop)`` in order, each a dict of its own."""

    def rows(self, start: int, stop: int, names: Sequence[str]) -> Iterator[Any]:
        """The values of ``[start, stop)`` without their names: tuples in the order of ``names``,
        or, of one name alone, the values themselves. Several times faster than `between`.

        Raises:
            TypeError: the points have different names (see `is_table`).
        """
        stretches = self._stretches(start, stop, [self.names.index(name) for name in names])
        if len(names) == 1:
            return itertools.chain.from_iterable(columns[0] for columns in stretches)
        return itertools.chain.from_iterable(zip(*columns, strict=False) for columns in stretches)

    @property
    def is_table(self) -> bool:
        """Whether every point has the same names, so that there are `rows`."""
        return True

    @abstractmethod
    def _stretches(self, start: int, stop: int, order: list[int]) -> Iterator[list[Iterable[Any]]]:
        """Consecutive rows, column by column, in stretches; of a constant column, without end."""


class Matrix(Source):
    """The cartesian product, the last name fastest, without what is excluded.

    Args:
        columns: the values of each name, at least one name.
        excludes: partial points; a point that agrees with one in all its names is left out.

    Raises:
        SpaceError: too many names or points, or excludes that cannot be counted.
    """

    __slots__ = ("_counting", "_sizes", "_values", "_weights")

    def __init__(self, columns: Mapping[str, Values], excludes: Sequence[Point] = ()) -> None:
        self.names = tuple(columns)
        if not 1 <= len(self.names) <= MAX_NAMES:
            raise SpaceError(f"a matrix has 1 to {MAX_NAMES} names, not {len(self.names)}")
        self._values = list(columns.values())
        self._sizes = [values.count for values in self._values]
        self.containers = any(values.containers for values in self._values)
        self._weights = [1]
        for size in reversed(self._sizes):
            self._weights.append(self._weights[-1] * size)
        self._weights.reverse()
        self.count = self._weights.pop(0)
        self._counting: Counting | None = None
        if excludes:
            depths = {name: depth for depth, name in enumerate(self.names)}
            wanted = [
                {depths[name]: value for name, value in exclude.items()}
                for exclude in excludes
                if exclude.keys() <= depths.keys()  # one with other names matches no point
            ]
            self._counting = Counting(self._values, self._weights, wanted)
            self.count = self._counting.total

    def at(self, index: int) -> Point:
        positions, _ = self._walk(index)
        return {
            name: values.at(position)
            for name, values, position in zip(self.names, self._values, positions, strict=True)
        }

    def between(self, start: int, stop: int) -> Iterator[Point]:
        while start < stop:
            positions, left = self._walk(start)
            length = min(left, stop - start)
            yield from self._odometer(positions, length)
            start += length

    def _stretches(self, start: int, stop: int, order: list[int]) -> Iterator[list[Iterable[Any]]]:
        *slow, fastest = self._values
        while start < stop:
            positions, left = self._walk(start)
            first = positions[-1]
            length = min(left, stop - start, fastest.count - first)
            columns: list[Iterable[Any]] = [
                itertools.repeat(values.at(at)) for values, at in zip(slow, positions, strict=False)
            ]
            columns.append(fastest.between(first, first + length))
            yield [columns[at] for at in order]
            start += length

    def _walk(self, index: int) -> tuple[list[int], int]:
        """The positions of a point, and how many points from it on need only counting up."""
        positions: list[int] = []
        left = self.count - index
        if self._counting is not None:
            positions, index, left = self._counting.walk(index)
        for weight in self._weights[len(positions) :]:
            position, index = divmod(index, weight)
            positions.append(position)
        return positions, left

    def _odometer(self, positions: list[int], length: int) -> Iterator[Point]:
        *slow, fastest = self._values
        name = self.names[-1]
        size = fastest.count
        base = {n: v.at(at) for n, v, at in zip(self.names, slow, positions, strict=False)}
        start = positions[-1]
        while True:
            stop = min(start + length, size)
            for value in fastest.between(start, stop):
                point = base.copy()
                point[name] = value
                yield point
            length -= stop - start
            if not length:
                return
            start = 0
            self._carry(positions, base)

    def _carry(self, positions: list[int], base: Point) -> None:
        for depth in range(len(positions) - 2, -1, -1):
            position = positions[depth] + 1
            if position < self._sizes[depth]:
                positions[depth] = position
                base[self.names[depth]] = self._values[depth].at(position)
                return
            positions[depth] = 0
            base[self.names[depth]] = self._values[depth].at(0)


class Kept:
    """The positions that remain of ``[0, count)``, by rank.

    Args:
        count: positions before anything is removed.
        removed: the runs that are taken away, in any order; they may overlap.
    """

    __slots__ = ("_ranks", "_starts", "count")

    def __init__(self, count: int, removed: Sequence[Run]) -> None:
        kept = RangeSet([(0, count)])
        for start, stop in RangeSet(removed):
            kept.discard(start, stop)
        self.count = kept.count
        self._starts: list[int] = []
        self._ranks: list[int] = []  # kept positions before each run
        rank = 0
        for start, stop in kept:
            self._starts.append(start)
            self._ranks.append(rank)
            rank += stop - start

    def at(self, rank: int) -> int:
        """The position of a rank in ``[0, count)``."""
        run = bisect_right(self._ranks, rank) - 1
        return self._starts[run] + rank - self._ranks[run]

    def between(self, start: int, stop: int) -> Iterator[Run]:
        """The runs of positions whose ranks are ``[start, stop)``."""
        run = bisect_right(self._ranks, start) - 1
        while start < stop:
            end = self._ranks[run + 1] if run + 1 < len(self._ranks) else self.count
            length = min(stop, end) - start
            first = self._starts[run] + start - self._ranks[run]
            yield first, first + length
            start += length
            run += 1


class Zip(Source):
    """Columns read in step: point ``i`` has value ``i`` of every name.

    Args:
        columns: the values of each name, at least one name, all of one length.
        excludes: partial points, as for `Matrix`.

    Raises:
        SpaceError: no names, or different lengths.
    """

    __slots__ = ("_kept", "_values")

    def __init__(self, columns: Mapping[str, Values], excludes: Sequence[Point] = ()) -> None:
        self.names = tuple(columns)
        self._values = list(columns.values())
        lengths = {values.count for values in self._values}
        if len(lengths) != 1:
            raise SpaceError(f"zip wants values of one length, not {sorted(lengths)}")
        self.count = lengths.pop()
        self.containers = any(values.containers for values in self._values)
        self._kept: Kept | None = None
        if excludes and self.count:
            runs = [run for exclude in excludes for run in _matching_runs(columns, exclude)]
            self._kept = Kept(self.count, runs)
            self.count = self._kept.count

    def _stretches(self, start: int, stop: int, order: list[int]) -> Iterator[list[Iterable[Any]]]:
        for first, last in self._runs(start, stop):
            yield [self._values[at].between(first, last) for at in order]

    def at(self, index: int) -> Point:
        position = index if self._kept is None else self._kept.at(index)
        return {
            name: values.at(position) for name, values in zip(self.names, self._values, strict=True)
        }

    def between(self, start: int, stop: int) -> Iterator[Point]:
        for first, last in self._runs(start, stop):
            columns = [values.between(first, last) for values in self._values]
            for row in zip(*columns, strict=True):
                yield dict(zip(self.names, row, strict=True))

    def _runs(self, start: int, stop: int) -> Iterable[Run]:
        return [(start, stop)] if self._kept is None else self._kept.between(start, stop)


def _matching_runs(columns: Mapping[str, Values], exclude: Point) -> list[Run]:
    runs = [(0, MAX_COUNT)]
    for name, value in exclude.items():
        if name not in columns:
            return []
        runs = _common(runs, columns[name].runs(value))
    length = next(iter(columns.values())).count
    return _common(runs, [(0, length)])


def _common(left: list[Run], right: list[Run]) -> list[Run]:
    if len(left) > len(right):
        left, right = right, left
    whole = RangeSet(right)
    return [run for start, stop in left for run in whole.intersection(start, stop)]


class Points(Source):
    """Points as they were written; each may have names of its own.

    Args:
        points: the points.
        excludes: partial points, as for `Matrix`; one that has a name the point has not does not
            match it.
    """

    __slots__ = ("_points",)

    def __init__(self, points: Sequence[Point], excludes: Sequence[Point] = ()) -> None:
        self._points = list(points)
        if excludes:
            self._points = list(_unmatched(self._points, excludes))
        self.count = len(self._points)
        self.names = _common_names(self._points)
        self.containers = any(is_container(v) for point in points for v in point.values())

    def at(self, index: int) -> Point:
        return self._points[index].copy()

    def between(self, start: int, stop: int) -> Iterator[Point]:
        return map(dict.copy, self._points[start:stop])

    @property
    def is_table(self) -> bool:
        return False

    def _stretches(self, start: int, stop: int, order: list[int]) -> Iterator[list[Iterable[Any]]]:
        raise TypeError(f"the points [{start}, {stop}) may have different names, {order} is none")


def _common_names(points: Sequence[Point]) -> tuple[str, ...]:
    if not points:
        return ()
    common = set(points[0]).intersection(*points[1:])
    return tuple(name for name in points[0] if name in common)


def _unmatched(points: Sequence[Point], excludes: Sequence[Point]) -> Iterator[Point]:
    """The points no exclude matches: one look-up for each set of names the excludes use."""
    wanted: dict[tuple[str, ...], set[tuple[Hashable, ...]]] = {}
    for exclude in excludes:
        names = tuple(sorted(exclude))
        wanted.setdefault(names, set()).add(_values_key(exclude, names))
    for point in points:
        if not any(
            all(map(point.__contains__, names)) and _values_key(point, names) in keys
            for names, keys in wanted.items()
        ):
            yield point


def _values_key(point: Point, names: tuple[str, ...]) -> tuple[Hashable, ...]:
    return tuple(map(key, map(point.__getitem__, names)))
