"""Numbers at regular distances as a batch file writes them, and values from their documents.

Apart from the classes that compute them, which trust what they are given. Slots import it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from farm.batch.plain import SpaceError, unpack
from farm.batch.values import (
    Geometric,
    Integers,
    Literal,
    Number,
    Progression,
    Values,
    checked_count,
)


def spread_range(numbers: Sequence[Any]) -> Values:
    """``range: [stop]``, ``[start, stop]`` or ``[start, stop, step]``, as Python's `range`.

    With a float among them the values are floats ``start + i * step`` below ``stop`` (above it for
    a negative step), counted exactly on the decimal numbers as written.

    Raises:
        SpaceError: not 1 to 3 finite numbers, a step of 0, or too many values.
    """
    if not 1 <= len(numbers) <= 3:
        raise SpaceError(f"range takes 1 to 3 numbers ([start, stop, step]), not {len(numbers)}")
    _check_numbers("range", numbers)
    start = numbers[0] if len(numbers) > 1 else 0
    stop = numbers[0] if len(numbers) == 1 else numbers[1]
    step = numbers[2] if len(numbers) == 3 else 1
    if step == 0:
        raise SpaceError("the step of a range cannot be 0")
    if all(type(number) is int for number in numbers):
        return Integers(start, stop, step)
    first, distance = _exact(start), _exact(step)
    count = max(0, math.ceil((_exact(stop) - first) / distance))
    return Progression(first, distance, count, {"range": list(numbers)})


def spread_linear(numbers: Sequence[Any]) -> Values:
    """``linspace: [a, b, n]``: ``n`` floats at equal distances, both ends among them.

    Raises:
        SpaceError: not two finite numbers and a count of at least 2 (1 if ``a`` is ``b``).
    """
    first, last, count = _ends_and_count("linspace", numbers)
    step = (_exact(last) - _exact(first)) / max(1, count - 1)
    return Progression(_exact(first), step, count, {"linspace": list(numbers)})


def spread_log(numbers: Sequence[Any]) -> Values:
    """``logspace: [a, b, n]``: ``n`` floats from ``a`` to ``b`` themselves with equal ratios.

    Raises:
        SpaceError: not two finite numbers above 0 and a count of at least 2 (1 if ``a`` is ``b``).
    """
    first, last, count = _ends_and_count("logspace", numbers)
    if first <= 0 or last <= 0:
        raise SpaceError("both ends of a logspace must be greater than 0 (they are not exponents)")
    return Geometric(float(first), float(last), count)


def _ends_and_count(kind: str, numbers: Sequence[Any]) -> tuple[Number, Number, int]:
    if len(numbers) != 3:
        raise SpaceError(f"{kind} takes 3 numbers ([first, last, how many]), not {len(numbers)}")
    _check_numbers(kind, numbers)
    first, last, count = numbers
    if type(count) is not int:
        raise SpaceError(f"{kind} wants a whole number of values, not {count!r}")
    if count < 2 and not (count == 1 and first == last):
        raise SpaceError(f"{kind} needs at least 2 values to hold both ends, not {count}")
    return first, last, checked_count(count)


def _check_numbers(kind: str, numbers: Sequence[Any]) -> None:
    for number in numbers:
        if type(number) not in (int, float):
            raise SpaceError(f"{kind} takes numbers, not {number!r}")
        if type(number) is float and not math.isfinite(number):
            raise SpaceError(f"{kind} takes finite numbers, not {number!r}")
    if any(type(number) is float for number in numbers) or kind != "range":
        for number in numbers:
            if abs(number) > sys.float_info.max:
                raise SpaceError(f"a number of the {kind} is too large for a float")


def _exact(number: Number) -> Fraction:
    return Fraction(repr(number))


SPREADS: dict[str, Callable[[Sequence[Any]], Values]] = {
    "range": spread_range,
    "linspace": spread_linear,
    "logspace": spread_log,
}
"""What makes values of numbers, by its key in a batch file and in documents."""


def read_values(document: Any) -> Values:
    """The values that `Values.to_document` described.

    Raises:
        SpaceError: the document has another shape.
    """
    if type(document) is not dict or len(document) != 1:
        raise SpaceError("not a document of values")
    ((kind, body),) = document.items()
    if type(body) is not list:
        raise SpaceError("not a document of values")
    if kind == "list":
        return Literal(unpack(body))
    reader = SPREADS.get(kind)
    if reader is None:
        raise SpaceError(f"no such kind of values: {kind!r}")
    return reader(unpack(body))
