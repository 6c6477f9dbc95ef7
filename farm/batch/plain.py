"""Values of parameters as plain data that msgpack keeps exactly, and the keys they compare by.

Apart from the spaces because it knows nothing of them. Slots import it: no pydantic, no yaml.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import date, datetime, timezone
from typing import Any

TAG = "$"
"""The key of a mapping that stands for a value msgpack has no type for."""

_MAX_DEPTH = 64
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1
_SCALARS = frozenset({type(None), bool, float, bytes})


class SpaceError(ValueError):
    """A parameter space, or a part of one, that cannot be."""


def pack(value: Any, depth: int = 0) -> Any:
    """The plain data for a value.

    Raises:
        SpaceError: there is none for its type, its text is not Unicode, or it is nested more than
            64 deep.

    Example:
        >>> pack([1, date(2024, 2, 29)])
        [1, {'$': ['date', '2024-02-29']}]
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is str:
        return _checked_text(value)
    if kind is int:
        return value if _MIN_INT <= value <= _MAX_INT else {TAG: ["int", hex(value)]}
    if depth >= _MAX_DEPTH:
        raise SpaceError(f"the value is nested more than {_MAX_DEPTH} deep")
    if kind is list:
        return [pack(item, depth + 1) for item in value]
    if kind is tuple:
        return {TAG: ["tuple", [pack(item, depth + 1) for item in value]]}
    if kind is dict:
        return _pack_mapping(value, depth + 1)
    if kind is date:
        return {TAG: ["date", value.isoformat()]}
    if kind is datetime and isinstance(value.tzinfo, timezone | None):
        return {TAG: ["datetime", value.isoformat()]}
    raise SpaceError(
        f"a value of type {kind.__name__} cannot be a parameter; "
        "use text, numbers, true/false, null, dates, lists and mappings"
    )


def _checked_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SpaceError(f"the text {text!a} is not valid Unicode") from None
    return text


def _pack_mapping(mapping: dict[Any, Any], depth: int) -> dict[str, Any]:
    if TAG not in mapping and all(type(name) is str for name in mapping):
        return {_checked_text(name): pack(item, depth) for name, item in mapping.items()}
    pairs = [[pack(name, depth), pack(item, depth)] for name, item in mapping.items()]
    return {TAG: ["map", pairs]}


def unpack(data: Any) -> Any:
    """The reverse of `pack`.

    Raises:
        SpaceError: the data was not made by `pack`.
    """
    kind = type(data)
    if kind is list:
        return [unpack(item) for item in data]
    if kind is not dict:
        return data
    if TAG not in data:
        return {name: unpack(item) for name, item in data.items()}
    try:
        tag, body = data[TAG]
        return _UNPACK[tag](body)
    except (KeyError, TypeError, ValueError) as error:
        raise SpaceError(f"not a packed value: {error}") from error


_UNPACK: dict[str, Any] = {
    "int": lambda text: int(text, 16),
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "tuple": lambda items: tuple(unpack(item) for item in items),
    "map": lambda pairs: {unpack(name): unpack(item) for name, item in pairs},
}


def is_container(value: Any) -> bool:
    """Whether a task could change the value under the eyes of the next one."""
    return type(value) in (list, dict, tuple)


def copied(value: Any) -> Any:
    """The value, with lists and mappings of its own."""
    kind = type(value)
    if kind is list or kind is tuple:
        return kind(copied(item) for item in value)
    if kind is dict:
        return {name: copied(item) for name, item in value.items()}
    return value


def key(value: Any) -> Hashable:
    """What two values have in common exactly if an ``exclude`` takes them for the same.

    Numbers are equal by value (``1`` and ``1.0``); ``true`` is not ``1``; a NaN equals a NaN.
    """
    kind = type(value)
    if kind is bool:
        return ("bool", value)
    if kind is float and value != value:
        return ("nan",)
    if kind is list or kind is tuple:
        return (kind.__name__, *map(key, value))
    if kind is dict:
        return ("dict", frozenset((key(name), key(item)) for name, item in value.items()))
    return value  # type: ignore[no-any-return]
