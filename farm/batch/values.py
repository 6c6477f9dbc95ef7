"""The values one name takes: a literal list, or numbers that are computed by position.

Apart from the spaces that combine them. Slots import it: no pydantic, no yaml.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from farm.batch.plain import SpaceError, is_container, key, pack

MAX_COUNT = 2**63 - 1
"""The most values a name, and the most points a space, can have (Python's `len` ends there)."""

Number = int | float
Run = tuple[int, int]


class Values(ABC):
    """A sequence that is known by position, not stored; immutable."""

    __slots__ = ("containers", "count")

    count: int
    containers: bool  # whether any value is a list or a mapping

    @abstractmethod
    def at(self, position: int) -> Any:
        """The value at a position in ``[0, count)``."""

    @abstractmethod
    def between(self, start: int, stop: int) -> Iterable[Any]:
        """The values at the positions ``[start, stop)``."""

    @abstractmethod
    def runs(self, value: Any) -> list[Run]:
        """The ``[start, stop)`` stretches of positions where this value stands, in order."""

    @abstractmethod
    def to_document(self) -> dict[str, Any]:
        """Plain data that `farm.batch.spread.read_values` reads."""


class Literal(Values):
    """Values as they were written or read."""

    __slots__ = ("_index", "items")

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = list(items)
        self.count = len(self.items)
        self.containers = any(map(is_container, self.items))
        self._index: dict[Hashable, list[Run]] | None = None

    def at(self, position: int) -> Any:
        return self.items[position]

    def between(self, start: int, stop: int) -> Iterable[Any]:
        return self.items[start:stop]

    def runs(self, value: Any) -> list[Run]:
        if self._index is None:
            self._index = _index_runs(self.items)
        return self._index.get(key(value), [])

    def to_document(self) -> dict[str, Any]:
        return {"list": [pack(item) for item in self.items]}


def _index_runs(items: list[Any]) -> dict[Hashable, list[Run]]:
    index: dict[Hashable, list[Run]] = {}
    for position, item in enumerate(items):
        runs = index.setdefault(key(item), [])
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return index


class Integers(Values):
    """Python's `range`, of any whole numbers."""

    __slots__ = ("_range",)

    def __init__(self, start: int, stop: int, step: int) -> None:
        self._range = range(start, stop, step)
        self.count = checked_count(max(0, -((start - stop) // step)))
        self.containers = False

    def at(self, position: int) -> int:
        return self._range[position]

    def between(self, start: int, stop: int) -> Iterable[int]:
        return self._range[start:stop]

    def runs(self, value: Any) -> list[Run]:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        # `in` and `index` are arithmetic for an int, but a scan for anything else.
        if type(value) is not int or value not in self._range:
            return []
        position = self._range.index(value)
        return [(position, position + 1)]

    def to_document(self) -> dict[str, Any]:
        numbers = self._range
        return {"range": [pack(number) for number in (numbers.start, numbers.stop, numbers.step)]}


class Progression(Values):
    """Floats at equal distances, each the float nearest to the exact decimal number.

    The numbers are taken as they are written: value ``i`` of ``[0, 1, 0.1]`` is ``i / 10``, so the
    fourth is ``0.3`` and not ``0.30000000000000004``, and there are exactly 10 of them.

    Args:
        first: value 0, exactly.
        step: the exact distance; 0 makes all values equal.
        count: how many.
        document: what `to_document` returns.
    """

    __slots__ = ("_denominator", "_document", "_first", "_step")

    def __init__(
        self, first: Fraction, step: Fraction, count: int, document: dict[str, list[Number]]
    ) -> None:
        self.count = checked_count(count)
        self.containers = False
        self._denominator = math.lcm(first.denominator, step.denominator)
        self._first = int(first * self._denominator)
        self._step = int(step * self._denominator)
        self._document = document
        if count > 1 and step:
            largest = max(abs(first), abs(first + (count - 1) * step))
            _check_spacing(abs(step), 2 * Fraction(math.ulp(float(largest))))

    def at(self, position: int) -> float:
        # The quotient of two ints is correctly rounded, whatever their size.
        return (self._first + position * self._step) / self._denominator

    def between(self, start: int, stop: int) -> Iterable[float]:
        return map(self.at, range(start, stop))

    def runs(self, value: Any) -> list[Run]:
        if type(value) not in (int, float) or not self.count or not math.isfinite(value):
            return []
        if not self._step:
            return [(0, self.count)] if value == self.at(0) else []
        near = round((Fraction(value) * self._denominator - self._first) / self._step)
        return _run_near(self, near, value)

    def to_document(self) -> dict[str, Any]:
        return {kind: [pack(number) for number in args] for kind, args in self._document.items()}


class Geometric(Values):
    """Floats with equal ratios from one end to the other, both ends exact.

    Value ``i`` is ``10 ** (log10(a) + i * (log10(b) - log10(a)) / (n - 1))``, as `numpy.geomspace`
    has it, which keeps powers of ten exact.
    """

    __slots__ = ("_distance", "_high", "_low", "_start", "_stop", "first", "last")

    def __init__(self, first: float, last: float, count: int) -> None:
        self.first, self.last = first, last
        self.count = checked_count(count)
        self.containers = False
        self._start, self._stop = math.log10(first), math.log10(last)
        self._distance = self._stop - self._start
        self._low, self._high = min(first, last), max(first, last)
        if first != last:
            step = abs(self._distance) / (count - 1)
            largest = max(abs(self._start), abs(self._stop), 1.0)
            _check_spacing(step, 4 * math.ulp(largest))

    def at(self, position: int) -> float:
        if position == 0:
            return self.first
        if position == self.count - 1:
            return self.last
        exponent = self._start + position * self._distance / (self.count - 1)
        return min(max(math.pow(10.0, exponent), self._low), self._high)

    def between(self, start: int, stop: int) -> Iterable[float]:
        return map(self.at, range(start, stop))

    def runs(self, value: Any) -> list[Run]:
        if type(value) not in (int, float) or not self._low <= value <= self._high:
            return []
        if self._low == self._high:
            return [(0, self.count)]
        part = (math.log10(value) - self._start) / self._distance
        return _run_near(self, round(part * (self.count - 1)), value)

    def to_document(self) -> dict[str, Any]:
        return {"logspace": [self.first, self.last, self.count]}


def _run_near(values: Values, near: int, value: Number) -> list[Run]:
    for position in range(max(0, near - 2), min(values.count, near + 3)):
        if values.at(position) == value:
            return [(position, position + 1)]
    return []


def _check_spacing(step: Fraction | float, least: Fraction | float) -> None:
    if step < least:
        raise SpaceError("the values are so close together that floats cannot tell them apart")


def checked_count(count: int) -> int:
    """The count.

    Raises:
        SpaceError: it is too large for Python's `len`.
    """
    if count > MAX_COUNT:
        raise SpaceError(f"{count:,} values are too many; the limit is 2**63 - 1")
    return count
