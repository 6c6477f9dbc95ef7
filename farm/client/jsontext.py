"""JSON text of what tasks take and return: what it can hold, and how it is written.

Apart from the commands because an exported batch holds the same lines as `farm results` prints.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from farm.printable import UNSEEN

_SCALARS = (str, bytes, int, float, type(None))
_CONTROLS = re.compile(f"[{UNSEEN}]")  # JSON escapes the others itself


MAX_VALUES = 1_000_000
MAX_DEPTH = 200
"""Of a value that is shown; what is shared counts each time, as it is written each time."""


def can_be_shown(value: Any, inside: Callable[[Any], Iterable[Any]] = lambda _: ()) -> bool:
    """Whether a value can be written out in a bounded time.

    Args:
        value: made of containers, or of objects that ``inside`` knows.
        inside: what is in such an object.
    """
    level, depth, number = [value], 0, 0
    while level and depth <= MAX_DEPTH:
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one.keys()
                below += one.values()
            elif isinstance(one, list | tuple | set | frozenset):
                below += one
            elif not isinstance(one, _SCALARS):
                below += inside(one)
            if number + len(below) > MAX_VALUES:
                return False
        number += len(below)
        level, depth = below, depth + 1
    return not level


def holds(value: Any) -> bool:
    """Whether JSON can hold a value: without loss, apart from tuples, which become arrays."""
    match value:
        case None | bool() | str() | int():
            return type(value) in (type(None), bool, str, int)
        case float():
            return type(value) is float and math.isfinite(value)
        case list() | tuple() if type(value) in (list, tuple):
            return all(map(holds, value))
        case dict() if type(value) is dict:
            return all(type(key) is str for key in value) and all(map(holds, value.values()))
    return False


def to_json(value: Any, *, encoding: str = "utf-8", indent: int | None = None) -> str:
    """JSON text that can be written in ``encoding``: as it reads where it can, else escaped.

    All control characters are escaped, also those that JSON lets stand and terminals obey.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    text = _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        # Half a surrogate pair, or a terminal that has no such letters.
        return json.dumps(value, allow_nan=False, indent=indent)
    return text


def json_lines(rows: Iterable[dict[str, Any]], encoding: str = "utf-8") -> Iterator[str]:
    """An object a line."""
    for row in rows:
        yield to_json(row, encoding=encoding) + "\n"
