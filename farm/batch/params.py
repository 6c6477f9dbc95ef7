"""`params` of a batch file: from what is written to a space, with everything that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from typing import Any, TypeVar

from farm.batch import space as spaces
from farm.batch.columns import Reader
from farm.batch.findings import Findings
from farm.batch.nodes import Path
from farm.batch.plain import SpaceError, pack
from farm.batch.space import Point, Space
from farm.batch.suggest import clipped, did_you_mean, found, one_of
from farm.batch.tables import TableError, read_csv, read_jsonl
from farm.batch.values import MAX_COUNT, Integers, Literal, Values

SOURCES = ("matrix", "zip", "list", "count", "lines", "csv", "jsonl", "glob")
_FROM_FILES = frozenset({"lines", "csv", "jsonl", "glob"})
_AT: Path = ("params",)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """Points that have the same names.

    Args:
        names: the names.
        path: where the names were written; a name's own place is below it.
        where: ``file:line`` if they come from a file, else empty.
        keyed: whether each name is a key below ``path``.
    """

    names: tuple[str, ...]
    path: Path
    where: str = ""
    keyed: bool = True

    def note(self, findings: Findings, name: str | None, message: str) -> None:
        """Note what is wrong with one of the names, or (None) with the points as they are."""
        if self.where:
            findings.add_in_file(self.path, self.where, message)
        elif name is None or not self.keyed:
            findings.add(self.path, message)
        else:
            findings.add((*self.path, name), message, key=True)


@dataclass(slots=True)
class Params:
    """What `params` gives.

    Args:
        rows: one for each set of names that points have, so that calls can be checked against it.
        space: the points; None if anything about them is wrong.
        builtin: names that farm gives by itself and a command may therefore not use for another.
    """

    rows: list[Row] = field(default_factory=list)
    space: Space | None = None
    builtin: frozenset[str] = frozenset()


class ParamsReader:
    """Reads `params`.

    Args:
        params: what is written there; what of it has the wrong shape is among the findings.
        reader: reads values and files.
        findings: where problems go.
    """

    def __init__(self, params: dict[str, Any], reader: Reader, findings: Findings) -> None:
        self._params = {k: v for k, v in params.items() if not findings.blocked((*_AT, k))}
        self._complete = len(self._params) == len(params)
        self._reader = reader
        self._findings = findings
        self._result = Params()
        self._columns: dict[str, Values] | None = None
        self._points: list[Point] | None = None

    def read(self) -> Params:
        """The points, as far as they can be known."""
        kind = self._source()
        if kind is not None:
            getattr(self, f"_read_{kind}")(self._params[kind])
        elif self._complete and self._findings.clean(_AT):
            self._points = [] if self._params.get("include") else [{}]
            if self._points:
                self._result.rows.append(Row((), _AT))
        include = self._listed("include")
        exclude = self._excluded(kind)
        if self._findings.clean(_AT):
            self._result.space = self._space(kind, exclude, include)
        return self._result

    def _source(self) -> str | None:
        kinds = [name for name in self._params if name in SOURCES]
        for extra in kinds[1:]:
            message = f"`params` takes one source, but has {one_of(kinds, 'and')}; keep one"
            self._findings.add((*_AT, extra), message, key=True)
        if not kinds and self._complete and "exclude" in self._params:
            message = f"`exclude` needs a source to take points away from: {one_of(SOURCES)}"
            self._findings.add((*_AT, "exclude"), message, key=True)
        return kinds[0] if len(kinds) == 1 else None

    def _read_matrix(self, columns: dict[str, Any]) -> None:
        self._read_columns("matrix", columns)

    def _read_zip(self, columns: dict[str, Any]) -> None:
        self._read_columns("zip", columns)
        sizes = {name: values.count for name, values in (self._columns or {}).items()}
        if len(set(sizes.values())) > 1:
            listed = one_of([f"`{name}` has {size:,}" for name, size in sizes.items()], "and")
            self._findings.add((*_AT, "zip"), f"zip wants values of one length, but {listed}")

    def _read_columns(self, kind: str, columns: dict[str, Any]) -> None:
        path = (*_AT, kind)
        columns = _named(columns)
        self._result.rows.append(Row(tuple(columns), path))
        read = {name: self._reader.column((*path, name), v) for name, v in columns.items()}
        self._columns = {name: values for name, values in read.items() if values is not None}
        total = prod(values.count for values in self._columns.values())
        if kind == "matrix" and total > MAX_COUNT:
            self._findings.add(path, f"{total:,} tasks are too many; the limit is 2**63 - 1")

    def _read_list(self, points: list[Point]) -> None:
        if not points:
            self._findings.add((*_AT, "list"), "`list` is empty, so there is nothing to run")
        self._points = self._listed("list")

    def _read_count(self, count: int) -> None:
        self._one_column("count", "index", Integers(0, count, 1))
        self._result.builtin = frozenset({"index"})

    def _read_lines(self, name: str) -> None:
        self._one_column("lines", "line", self._reader.lines((*_AT, "lines"), name))

    def _read_glob(self, pattern: str) -> None:
        self._one_column("glob", "path", self._reader.glob((*_AT, "glob"), pattern))

    def _one_column(self, kind: str, name: str, values: Values | None) -> None:
        self._result.rows.append(Row((name,), (*_AT, kind), keyed=False))
        self._columns = {} if values is None else {name: values}

    def _read_csv(self, name: str) -> None:
        path = (*_AT, "csv")
        columns = self._table(path, name, read_csv)
        if columns is None:
            return
        self._result.rows.append(Row(tuple(columns), path, f"{name}:1", keyed=False))
        if not any(columns.values()):
            self._findings.add(path, f"{name} has no rows, so there is nothing to run")
        self._columns = {}
        for column, cells in columns.items():
            values = self._reader.literal(path, cells)
            if values is not None:
                self._columns[column] = values

    def _read_jsonl(self, name: str) -> None:
        path = (*_AT, "jsonl")
        objects = self._table(path, name, read_jsonl)
        if objects is None:
            return
        if not objects:
            self._findings.add(path, f"{name} has no objects, so there is nothing to run")
        self._points = [point for _, point in objects]
        seen = set()
        for line, point in objects:
            complaint = _packs(point)
            if complaint is not None:
                self._findings.add_in_file(path, f"{name}:{line}", complaint)
            if frozenset(point) not in seen:
                seen.add(frozenset(point))
                self._result.rows.append(Row(tuple(point), path, f"{name}:{line}", keyed=False))

    def _table(self, path: Path, name: str, read: Callable[[str], T]) -> T | None:
        text = self._reader.text(path, name)
        if text is None:
            return None
        try:
            return read(text)
        except TableError as error:
            column = f":{error.column}" if error.column else ""
            self._findings.add_in_file(path, f"{name}:{error.line}{column}", error.message)
            return None

    def _listed(self, kind: str) -> list[Point]:
        """The mappings of `list` or `include`, checked one by one."""
        points: list[Point] = self._params.get(kind) or []
        seen = set()
        for number, point in enumerate(map(_named, points)):
            path = (*_AT, kind, number)
            if self._findings.blocked(path):
                continue
            self._check_values(path, point)
            if frozenset(point) not in seen:
                seen.add(frozenset(point))
                self._result.rows.append(Row(tuple(point), path))
        return points

    def _check_values(self, path: Path, point: Point) -> None:
        for name, value in point.items():
            complaint = _packs(value)
            if complaint is not None:
                self._findings.add((*path, name), complaint)

    def _excluded(self, kind: str | None) -> list[Point]:
        """The excludes, each name and value checked against the source."""
        excludes: list[Point] = self._params.get("exclude") or []
        if kind is None or not self._findings.clean((*_AT, kind)):
            return excludes
        known = Known(self._columns and dict(self._columns), self._points)
        for number, exclude in enumerate(map(_named, excludes)):
            path = (*_AT, "exclude", number)
            if self._findings.blocked(path):
                continue
            if not exclude:
                self._findings.add(path, "an empty exclude would take every point away")
            self._check_values(path, exclude)
            for name, value in exclude.items():
                if name not in known.names:
                    message = f"no point has the name `{name}`{did_you_mean(name, known.names)}"
                    self._findings.add((*path, name), message, key=True)
                elif not (kind in _FROM_FILES or self._from_file(kind, name)):
                    complaint = known.complaint(name, value)
                    if complaint:
                        self._findings.add((*path, name), complaint)
        return excludes

    def _from_file(self, kind: str | None, name: str) -> bool:
        """Whether the values come from a file, where one may be missing today."""
        value = self._params[kind][name] if kind in ("matrix", "zip") else None
        return isinstance(value, dict) and not value.keys().isdisjoint(_FROM_FILES)

    def _space(self, kind: str | None, exclude: list[Point], include: list[Point]) -> Space | None:
        make = spaces.zipped if kind in ("zip", "csv") else spaces.matrix
        try:
            if self._columns is not None:
                space = make(self._columns, exclude, include)
            else:
                space = spaces.listed(self._points or [], exclude, include)
        except SpaceError as error:
            self._findings.add((*_AT, "exclude" if exclude else "include"), str(error))
            return None
        if not len(space):
            self._findings.add((*_AT, "exclude"), "everything is excluded: nothing is left to run")
            return None
        return space


class Known:
    """The names and values a source has, to check excludes against.

    Args:
        columns: the values by name, if the source has columns.
        points: its points, if not.
    """

    def __init__(self, columns: dict[str, Values] | None, points: list[Point] | None) -> None:
        self._columns = columns or {}
        self._points = points or []
        self.names = tuple(dict.fromkeys([*self._columns, *chain.from_iterable(self._points)]))

    def complaint(self, name: str, value: Any) -> str | None:
        """What is wrong with a value of a known name, if anything."""
        if name not in self._columns:
            self._columns[name] = Literal([p[name] for p in self._points if name in p])
        values = self._columns[name]
        if values.runs(value):
            return None
        if isinstance(values, Literal):
            meant = did_you_mean(value, values.items) or _some(values.items)
        else:
            first, last = values.at(0), values.at(values.count - 1)
            meant = f"; its {values.count:,} values go from {first!r} to {last!r}"
        return f"`{name}` is never {found(value)}{meant}"


def _named(mapping: Any) -> dict[str, Any]:
    """What of a mapping has texts for names; the rest is among the findings."""
    items = mapping.items() if isinstance(mapping, dict) else ()
    return {name: value for name, value in items if isinstance(name, str)}


def _some(items: Iterable[Any]) -> str:
    shown = [clipped(repr(item)) for item, _ in zip(items, range(5), strict=False)]
    return f"; it is {one_of(shown)}"


def _packs(value: Any) -> str | None:
    """Why a value cannot travel, if it cannot."""
    try:
        pack(value)
    except SpaceError as error:
        return str(error)
    return None
