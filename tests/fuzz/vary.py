"""From one drawn value several others: a part of it becomes another hostile value of its type.

Drawing is what takes long, and not sending: so that each draw is made much of.
"""

from __future__ import annotations

import random
from typing import Any

POOLS: dict[type, list[Any]] = {
    bool: [True, False],
    int: [0, 1, 2, 5, 12, 50, 51, -1, -2, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, -(2**63)],
    float: [0.0, -0.0, 1e-9, -1.0, 1e15, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")],
    str: ["", "last", "1", "7", "9" * 30, "\0", "\u0661", "e\u0301", "x" * 201, "y" * 3000],
    bytes: [b"", b"\0", b"\xff" * 4, b"\0" * 200, b"\x80\x04].", b"z" * 3000],
    type(None): [None],
}
"""What a part may become: another value of the same type."""

ODD = [None, True, -1, 2**64 - 1, 1.5, float("nan"), "", "text", b"", b"\xff" * 40, [], {}, [[]],
       {"a": 1}, [None] * 40, {1: 2}, [[[[[[[[]]]]]]]]]  # fmt: skip
"""What a part may become where its type does not matter."""


def varied(value: Any, chance: random.Random) -> Any:
    """The value, with another one of the same type in one place of it.

    Example:
        >>> varied(["Beat", "token"], random.Random(1))         # doctest: +SKIP
        ['Beat', '9']
    """
    if isinstance(value, list | tuple) and value:
        # The first of a message is its tag.
        at = chance.randrange(len(value)) if len(value) == 1 else chance.randrange(1, len(value))
        changed = list(value)
        changed[at] = varied(changed[at], chance)
        return type(value)(changed)
    if isinstance(value, dict) and value:
        key = chance.choice(list(value))
        return {**value, key: varied(value[key], chance)}
    return chance.choice(POOLS.get(type(value), [value]))


def misshapen(value: list[Any], chance: random.Random) -> Any:
    """A message with a field of another type, one too many or too few, or an unknown tag."""
    body, at = list(value), chance.randrange(len(value))
    match chance.choice("rrrmatf"):
        case "r":
            body[at] = chance.choice(ODD)
        case "m":
            return body[:at]
        case "a":
            return [*body, chance.choice(ODD)]
        case "t":
            body[0] = chance.choice(["Welcome", "Done", "", "submit", 7, None])
        case _:
            return chance.choice(ODD)
    return body
