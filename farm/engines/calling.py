"""How a task is called: by one value, whatever its parameters are.

A slot's loop hands each task exactly one value. What a function takes by position is handed over as
it is, or as a tuple; only what must go by name becomes a mapping, which costs several times more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

Call = Callable[[Any], Any]


def positions(function: Callable[..., Any], names: Sequence[str]) -> tuple[str, ...] | None:
    """The names in the order in which the function takes them by position; None if it may not.

    ``f(x=1, y=2)`` and ``f(1, 2)`` are the same call where x and y are the first parameters of a
    plain function. Anything else, such as an object with ``__call__``, is not looked into.

    Example:
        >>> positions(lambda y, x, z=0: ..., ["x", "y"])
        ('y', 'x')
        >>> positions(lambda y, x, z=0: ..., ["x", "z"]) is None
        True
    """
    if type(function) is not FunctionType:
        return None
    code = function.__code__
    first = code.co_varnames[code.co_posonlyargcount : code.co_argcount][: len(names)]
    if code.co_posonlyargcount or set(first) != set(names):
        return None
    return first


def by_name(function: Callable[..., Any]) -> Call:
    """A call whose value is a mapping of parameters."""
    return lambda point: function(**point)


def by_position(function: Callable[..., Any]) -> Call:
    """A call whose value is a tuple of parameters."""
    return lambda values: function(*values)


def by_both(function: Callable[..., Any]) -> Call:
    """A call whose value is ``(args, kwargs)``."""
    return lambda value: function(*value[0], **value[1])
