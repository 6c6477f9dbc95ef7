"""Pickles from elsewhere made readable without running anything that they name.

Builtin values come out as they are, and so do a few harmless classes of the standard library. Any
other object becomes a stand-in that only knows how it was to be made: no module is imported, no
function is called.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import io
import pathlib
import pickle
import reprlib
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from farm.wire import builtins

MAX_ARGUMENT = 200
"""Characters that a stand-in shows of each argument."""

MAX_ARGUMENTS = 20
"""Arguments, items or attributes that a stand-in shows."""


class StandIn:
    """An object that was not made: what was to be called, with what, and what was to be put in.

    Args:
        name: ``module:qualified.name``.
        args: the arguments; None for the class or function itself.
    """

    def __init__(self, name: str, args: tuple[Any, ...] | None = None) -> None:
        self.name = name
        self.args = args
        self.state: Any = None
        self.items: list[Any] = []

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        name = self.name.removeprefix("builtins:").replace(":", ".")
        if self.args is None:
            return name
        shown = [_clipped(value) for value in self.args[:MAX_ARGUMENTS]]
        if isinstance(self.state, dict):
            pairs = list(self.state.items())[:MAX_ARGUMENTS]
            shown += [f"{key}={_clipped(value)}" for key, value in pairs]
        elif self.state is not None:
            shown.append(_clipped(self.state))
        if self.items:
            shown.append(_clipped(self.items[:MAX_ARGUMENTS]))
        hidden = max(len(self.args), len(self.items)) > MAX_ARGUMENTS
        return f"{name}({', '.join(shown)}{', ...' if hidden else ''})"

    # What the unpickler does with a list, a set or a dict that it believes to hold.

    def append(self, item: Any) -> None:
        """An item was to be put in."""
        self.items.append(item)

    def extend(self, items: list[Any]) -> None:
        """Some items were to be put in."""
        self.items.extend(items)

    def add(self, item: Any) -> None:
        """An item was to be put in."""
        self.items.append(item)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))


def inside(value: Any) -> Iterable[Any]:
    """What the repr of a stand-in shows of others; of anything else nothing."""
    if not isinstance(value, StandIn):
        return ()
    return [*(value.args or ())[:MAX_ARGUMENTS], value.state, *value.items[:MAX_ARGUMENTS]]


def _clipped(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_ARGUMENT else f"{text[: MAX_ARGUMENT - 3]}..."


def _bytearray(content: bytes = b"") -> bytearray:
    if type(content) is not bytes:
        raise TypeError("a number would be a size to allocate")
    return bytearray(content)


def _fraction(numerator: int, denominator: int) -> fractions.Fraction:
    if type(numerator) is not int:
        # "1e999999999" is a short text for a number that fills the memory.
        raise TypeError("only the ratio of two numbers is made")
    return fractions.Fraction(numerator, denominator)


def _pure_path(kind: type[pathlib.PurePath]) -> Callable[..., pathlib.PurePath]:
    return lambda *parts: kind(*parts)


_MADE: dict[tuple[str, str], Callable[..., Any]] = {
    ("builtins", "complex"): complex,
    ("builtins", "bytearray"): _bytearray,
    ("builtins", "range"): range,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("datetime", "date"): datetime.date,
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "time"): datetime.time,
    ("datetime", "timedelta"): datetime.timedelta,
    ("datetime", "timezone"): datetime.timezone,
    ("decimal", "Decimal"): decimal.Decimal,
    ("fractions", "Fraction"): _fraction,
    **{
        (module, name): _pure_path(kind)
        for module in ("pathlib", "pathlib._local")  # where 3.13 keeps them
        for name, kind in {
            "PurePosixPath": pathlib.PurePosixPath,
            "PosixPath": pathlib.PurePosixPath,
            "PureWindowsPath": pathlib.PureWindowsPath,
            "WindowsPath": pathlib.PureWindowsPath,
        }.items()
    },
}
"""What is really made, by the name that a pickle gives it; nothing here does more than make it."""


def _make(called: Any, args: Any) -> Any:
    """The value of a call, if it is a harmless one, else a stand-in."""
    if not isinstance(called, StandIn) or called.args is not None or type(args) is not tuple:
        raise pickle.UnpicklingError("something is called that is no class or function")
    module, _, name = called.name.partition(":")
    maker = _MADE.get((module, name))
    if maker is not None:
        try:
            return maker(*args)
        except (TypeError, ValueError, ArithmeticError):
            pass  # not as that class pickles itself: shown as it stands
    if called.name == "copyreg:_reconstructor" and args and isinstance(args[0], StandIn):
        return StandIn(args[0].name, ())
    return StandIn(called.name, args)


_Base: Any = builtins.BuiltinsUnpickler
_Python: Any = pickle._Unpickler  # it has what the base class left out


class _Unpickler(_Base):  # type: ignore[misc]  # the base is Any
    """Builds builtins, a few harmless objects, and stand-ins for all others."""

    dispatch = dict(_Base.dispatch)  # noqa: RUF012 - the base class's protocol
    scalars = (
        *_Base.scalars,
        StandIn,  # hashed by identity
        complex,
        datetime.date,
        datetime.time,
        datetime.timedelta,
        decimal.Decimal,
        pathlib.PurePath,
        uuid.UUID,
    )

    def find_class(self, module: str, name: str) -> StandIn:
        return StandIn(f"{module}:{name}")

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = _make(self.stack[-1], args)

    def load_newobj(self) -> None:
        args, called = self.stack.pop(), self.stack.pop()
        self.append(_make(called, args))

    def load_newobj_ex(self) -> None:
        kwargs, args, called = self.stack.pop(), self.stack.pop(), self.stack.pop()
        made = _make(called, args)
        if kwargs and isinstance(made, StandIn):
            made.state = kwargs
        self.append(made)

    def load_build(self) -> None:
        state = self.stack.pop()
        built = self.stack[-1]
        if not isinstance(built, StandIn):
            raise pickle.UnpicklingError("a plain value is given a state")
        built.state = _attributes(state)
        if built.name == "uuid:UUID" and isinstance(built.state, dict):
            self.stack[-1] = _uuid(built)

    def load_bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))  # read first: the size is a claim

    dispatch.update(
        {
            pickle.GLOBAL[0]: _Python.load_global,
            pickle.STACK_GLOBAL[0]: _Python.load_stack_global,
            pickle.REDUCE[0]: load_reduce,
            pickle.NEWOBJ[0]: load_newobj,
            pickle.NEWOBJ_EX[0]: load_newobj_ex,
            pickle.BUILD[0]: load_build,
            pickle.BYTEARRAY8[0]: load_bytearray8,
        }
    )


def _attributes(state: Any) -> Any:
    """The attributes in what ``object.__reduce_ex__`` gives: a dict, or it and one of slots."""
    if isinstance(state, tuple) and len(state) == 2:
        parts = [part for part in state if part is not None]
        if parts and all(isinstance(part, dict) for part in parts):
            return {key: value for part in parts for key, value in part.items()}
    return state


def _uuid(built: StandIn) -> Any:
    try:
        return uuid.UUID(int=built.state["int"])
    except (KeyError, TypeError, ValueError):
        return built


def loads(data: bytes | bytearray | memoryview) -> Any:
    """Unpickle without running anything.

    Raises:
        ProtocolError: it is no pickle, or one that cannot be read so.

    Example:
        >>> import pickle
        >>> loads(pickle.dumps([pickle.Pickler, ValueError("no")]))
        [_pickle.Pickler, ValueError('no')]
    """
    return builtins.load(_Unpickler(io.BytesIO(data)))
