"""Points by name as a block of arguments holds them: columns, where all have the same names.

The columns of a thousand points cost a fifth of what a thousand mappings do, to pickle and to read.
Slots import this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

Packed = tuple[tuple[str, ...], list[list[Any]]] | list[dict[str, Any]]
"""Names and a column for each, or the points themselves."""


def pack(points: list[dict[str, Any]]) -> Packed:
    """The points of one block, at least one.

    Example:
        >>> pack([{"x": 1, "y": 2}, {"y": 4, "x": 3}])
        (('x', 'y'), [[1, 3], [2, 4]])
        >>> pack([{"x": 1}, {"y": 2}])
        [{'x': 1}, {'y': 2}]
    """
    names = tuple(points[0])
    if not names or set(map(len, points)) != {len(names)}:
        return points
    try:
        return names, [list(map(itemgetter(name), points)) for name in names]
    except KeyError:
        return points


class Points:
    """The points of a block; to be called like a `farm.batch.space.Space` that has few.

    Args:
        packed: as `pack` made them.
        first: the index of the first one.

    Raises:
        ValueError: that is not what `pack` makes.

    Example:
        >>> points = Points((("x", "y"), [[1, 3], [2, 4]]), first=7)
        >>> points[8], list(points.rows(7, 9, ("y", "x")))
        ({'x': 3, 'y': 4}, [(2, 1), (4, 3)])
    """

    def __init__(self, packed: Packed, first: int = 0) -> None:
        self._first = first
        self._mappings: list[dict[str, Any]] = []
        self._columns: dict[str, list[Any]] = {}
        match packed:
            case list():
                self._mappings = packed
                self._count = len(packed)
            case (tuple(names), list(columns)) if 0 < len(names) == len(columns):
                self._columns = dict(zip(names, columns, strict=True))
                self._count = min(map(len, columns))
            case _:
                raise ValueError("the block does not hold points by name")

    def __len__(self) -> int:
        return self._count

    @property
    def names(self) -> tuple[str, ...]:
        """Of all of them; none where they differ."""
        return tuple(self._columns)

    @property
    def is_table(self) -> bool:
        """Whether `rows` can give them."""
        return bool(self._columns)

    def __getitem__(self, index: int) -> dict[str, Any]:
        at = index - self._first
        if not self._columns:
            return self._mappings[at]
        return {name: column[at] for name, column in self._columns.items()}

    def points(self, start: int, stop: int) -> Iterable[dict[str, Any]]:
        """Those of ``[start, stop)``."""
        at, end = start - self._first, stop - self._first
        if not self._columns:
            return self._mappings[at:end]
        return self._made(at, end)

    def _made(self, at: int, end: int) -> Iterator[dict[str, Any]]:
        for row in zip(*(column[at:end] for column in self._columns.values()), strict=True):
            yield dict(zip(self._columns, row, strict=True))

    def rows(self, start: int, stop: int, order: Sequence[str]) -> Iterable[Any]:
        """The values of each of ``[start, stop)``, in that order of the names; of one name, it."""
        at, end = start - self._first, stop - self._first
        columns = [self._columns[name][at:end] for name in order]
        return columns[0] if len(columns) == 1 else zip(*columns, strict=True)
