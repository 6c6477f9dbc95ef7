"""Parameter spaces: every task's parameters from its index, whether there are ten or 10**18.

`len(space)` and `space[i]` cost O(names). Slots import this module: no pydantic, no yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from farm.batch.plain import SpaceError, copied, is_container, pack, unpack
from farm.batch.sources import Matrix, Point, Points, Source, Zip
from farm.batch.spread import read_values
from farm.batch.values import MAX_COUNT, Integers, Literal, Values

__all__ = ["Point", "Space", "SpaceError", "counted", "from_document", "listed", "matrix", "zipped"]


class Space:
    """The points of a batch: those of a source, then those that are included.

    Made by `matrix`, `zipped`, `listed`, `counted` or `from_document`.

    Args:
        source: where the first points come from.
        include: points that follow it.
        document: plain data that describes both.

    Raises:
        SpaceError: more than 2**63 - 1 points.

    Example:
        >>> space = matrix({"x": spread_range([1000000]), "kind": Literal(["odd", "all"])})
        >>> len(space), space[3]
        (2000000, {'x': 1, 'kind': 'all'})
    """

    __slots__ = ("_containers", "_document", "_include", "_source", "names")

    def __init__(self, source: Source, include: Sequence[Point], document: dict[str, Any]) -> None:
        self._source = source
        self._include = list(include)
        self._document = document
        self._containers = source.containers or any(
            is_container(value) for point in include for value in point.values()
        )
        self.names = _names(source, self._include)
        if source.count + len(self._include) > MAX_COUNT:
            raise SpaceError(
                f"{source.count + len(self._include):,} tasks are too many; the limit is 2**63 - 1"
            )

    def __len__(self) -> int:
        return self._source.count + len(self._include)

    def __getitem__(self, index: int) -> Point:
        """The parameters of one task; no negative indices.

        Raises:
            IndexError: there is no such task.
        """
        inside = self._source.count
        if not 0 <= index < inside + len(self._include):
            raise IndexError(f"no task {index}: the space has {len(self)}")
        point = self._source.at(index) if index < inside else self._include[index - inside].copy()
        return copied(point) if self._containers else point

    def points(self, start: int, stop: int) -> Iterator[Point]:
        """The parameters of consecutive tasks, each a dict of its own, faster than one by one.

        Raises:
            IndexError: ``[start, stop)`` is not within the space.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"no tasks [{start}, {stop}): the space has {len(self)}")
        within = stop <= self._source.count
        points = self._source.between(start, stop) if within else self._across(start, stop)
        return map(copied, points) if self._containers else points

    @property
    def is_table(self) -> bool:
        """Whether there are `rows`: every point has all names, and no value can be changed."""
        return self._source.is_table and not self._include and not self._containers

    def rows(self, start: int, stop: int, names: Sequence[str]) -> Iterator[Any]:
        """The values of consecutive tasks without their names, several times faster than `points`.

        Args:
            start: first index.
            stop: one past the last.
            names: all of `names`, in the order that is wanted.

        Returns:
            A tuple for each task; of one name alone, the value itself.

        Raises:
            IndexError: ``[start, stop)`` is not within the space.
            ValueError: the space has other names.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"no tasks [{start}, {stop}): the space has {len(self)}")
        if set(names) != set(self.names) or not self.is_table:
            raise ValueError(f"no rows of {list(names)}: the space has {list(self.names)}")
        return self._source.rows(start, stop, names)

    def _across(self, start: int, stop: int) -> Iterator[Point]:
        inside = self._source.count
        if start < inside:
            yield from self._source.between(start, inside)
        for point in self._include[max(0, start - inside) : stop - inside]:
            yield point.copy()

    def to_document(self) -> dict[str, Any]:
        """Plain data that msgpack can hold and `from_document` reads."""
        return self._document


def _names(source: Source, include: list[Point]) -> tuple[str, ...]:
    if not source.count and include:
        return Points(include).names
    return tuple(name for name in source.names if all(name in point for point in include))


def matrix(
    columns: Mapping[str, Values], exclude: Sequence[Point] = (), include: Sequence[Point] = ()
) -> Space:
    """The cartesian product of the columns, the last name fastest.

    Args:
        columns: the values of each name.
        exclude: partial points; what agrees with one in all its names is left out.
        include: points that follow.

    Raises:
        SpaceError: too many names or points, excludes that cannot be counted, or values that
            cannot travel.
    """
    return _columnar("matrix", columns, exclude, include)


def zipped(
    columns: Mapping[str, Values], exclude: Sequence[Point] = (), include: Sequence[Point] = ()
) -> Space:
    """The columns read in step; arguments as for `matrix`.

    Raises:
        SpaceError: different lengths, no names, or values that cannot travel.
    """
    return _columnar("zip", columns, exclude, include)


def listed(
    points: Sequence[Point], exclude: Sequence[Point] = (), include: Sequence[Point] = ()
) -> Space:
    """Points as they are; arguments as for `matrix`. ``listed([{}])`` is one without arguments.

    Raises:
        SpaceError: values that cannot travel.
    """
    names = points[0].keys() if points else ()
    if names and all(point.keys() == names for point in points):
        columns = {name: Literal([point[name] for point in points]) for name in names}
        return zipped(columns, exclude, include)
    document = {"kind": "points", "points": [pack(point) for point in points]}
    return Space(Points(points, exclude), include, document | _extras(exclude, include))


def counted(n: int, exclude: Sequence[Point] = (), include: Sequence[Point] = ()) -> Space:
    """``n`` points ``{"index": 0}``, ``{"index": 1}`` and so on.

    Raises:
        SpaceError: more than 2**63 - 1.
    """
    return matrix({"index": Integers(0, n, 1)}, exclude, include)


_SOURCES: dict[str, type[Matrix] | type[Zip]] = {"matrix": Matrix, "zip": Zip}


def _columnar(
    kind: str,
    columns: Mapping[str, Values],
    exclude: Sequence[Point],
    include: Sequence[Point],
) -> Space:
    document = {
        "kind": kind,
        "names": list(columns),
        "values": [values.to_document() for values in columns.values()],
    }
    source = _SOURCES[kind](columns, exclude)
    return Space(source, include, document | _extras(exclude, include))


def _extras(exclude: Sequence[Point], include: Sequence[Point]) -> dict[str, Any]:
    extras = {"exclude": exclude, "include": include}
    return {name: [pack(point) for point in points] for name, points in extras.items() if points}


def from_document(document: Any) -> Space:
    """The space that `Space.to_document` described.

    Raises:
        SpaceError: (a ValueError) the document has another shape.
    """
    if type(document) is not dict:
        raise SpaceError("not a document of a space")
    exclude = _points(document.get("exclude", []))
    include = _points(document.get("include", []))
    kind = document.get("kind")
    if kind == "points":
        source: Source = Points(_points(document.get("points")), exclude)
    elif kind in ("matrix", "zip"):
        source = _SOURCES[kind](_columns(document), exclude)
    else:
        raise SpaceError(f"no such kind of space: {kind!r}")
    return Space(source, include, document)


def _columns(document: dict[str, Any]) -> dict[str, Values]:
    names, columns = document.get("names"), document.get("values")
    if type(names) is not list or type(columns) is not list or len(names) != len(columns):
        raise SpaceError("a space needs as many names as values")
    if not all(type(name) is str for name in names) or len(set(names)) != len(names):
        raise SpaceError("the names of a space are different texts")
    read = map(read_values, columns)
    return dict(zip(names, read, strict=True))


def _points(data: Any) -> list[Point]:
    points = unpack(data)
    if type(points) is not list:
        raise SpaceError("points are a list of mappings")
    for point in points:
        if type(point) is not dict or not all(type(name) is str for name in point):
            raise SpaceError("points are a list of mappings")
    return points
