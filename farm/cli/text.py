"""How numbers, times and other people's text are written, the same in every command."""

from __future__ import annotations

from itertools import pairwise

from farm.printable import plain

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def duration(seconds: float) -> str:
    """A time for people, two units at most.

    Example:
        >>> duration(0.0123), duration(75), duration(90000)
        ('12 ms', '1 min 15 s', '1 d 1 h')
    """
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f} ms" if seconds >= 0.0095 else f"{seconds * 1e3:.2g} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    rest = round(seconds)
    units = [*_UNITS, (1.0, "s")]
    for (size, unit), (lesser, small) in pairwise(units):
        if rest >= size:
            count, left = divmod(rest, int(size))
            part = left // int(lesser)
            return f"{count:,} {unit}" + (f" {part} {small}" if part else "")
    raise AssertionError("a minute was left")


def rate(tasks: float, seconds: float) -> str:
    """Tasks a second, or a minute or an hour where they are few.

    Example:
        >>> rate(1200, 1), rate(3, 60)
        ('1,200/s', '3/min')
    """
    if tasks <= 0 or seconds <= 0:
        return "-"
    a_second = tasks / seconds
    for factor, unit in ((1, "s"), (60, "min")):
        if a_second * factor >= 1:
            return f"{_short(a_second * factor)}/{unit}"
    return f"{_short(a_second * 3600)}/h"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def count(number: int, noun: str) -> str:
    """A number and its noun.

    Example:
        >>> count(1, "task"), count(1000000, "task")
        ('1 task', '1,000,000 tasks')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def one_line(text: str) -> str:
    """The first line, with a mark where there are more."""
    first, *more = plain(text).strip().split("\n", 1)
    return f"{first} ..." if more else first
