"""Lists of indices as they are written on the command line: ``3,7-9``."""

from __future__ import annotations

import re

from farm.batch.rangeblocks import Range
from farm.client.indices import merged
from farm.errors import UsageError

_PART = re.compile(r"(\d{1,19})(?:-(\d{1,19}))?", re.ASCII)
_NEGATIVE = re.compile(r"-\d+", re.ASCII)


def parse(text: str, total: int) -> list[Range]:
    """The ranges ``[start, stop)`` of a list of indices and inclusive ranges.

    Args:
        text: parts with commas between them.
        total: how many tasks there are.

    Raises:
        UsageError: it is something else, or names a task that there is not.

    Example:
        >>> parse("3,7-9,8", 10)
        [(3, 4), (7, 10)]
    """
    ranges = merged(_part(part.strip()) for part in text.split(","))
    if ranges[-1][1] > total:
        has = f"has tasks 0 to {total - 1}" if total else "has no tasks"
        raise UsageError(f"--index: there is no task {ranges[-1][1] - 1}: the batch {has}")
    return ranges


def _part(part: str) -> range:
    match = _PART.fullmatch(part)
    if match is None:
        if _NEGATIVE.fullmatch(part):
            raise UsageError(f"--index: {part} is negative: indices count from 0")
        raise UsageError(
            f"--index: {part!r} is neither an index nor a range; write for example 3,7-9"
        )
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if last < first:
        raise UsageError(f"--index: {part} is reversed; write {last}-{first}")
    return range(first, last + 1)
