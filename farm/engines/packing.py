"""Results to payloads: pickled together where that works and fits, in smaller parts where not."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle

from farm.engines.failure import CallError, describe, text_of
from farm.engines.memory import MemoryLimit
from farm.engines.messages import Done, Failure

MAX_PART = 8 << 20
"""Bytes of one payload, unless a single result is larger."""

MAX_RESULT = 60 << 20
"""Bytes; a single result that is larger when pickled is a failure."""

Dump = Callable[[list[Any]], bytes]


def dump_plain(values: list[Any]) -> bytes:
    """A pickle of protocol 5."""
    return pickle.dumps(values, 5)


def dump_by_value(values: list[Any]) -> bytes:
    """The same, but classes and functions that no module holds travel by value.

    For calls that were sent by value themselves: they return objects of the caller's
    ``__main__``, which cloudpickle gives back to the caller as objects of its own classes.
    """
    try:
        return pickle.dumps(values, 5)
    except Exception:
        data: bytes = cloudpickle.dumps(values, 5)
        return data


def pack(
    values: list[Any], seconds: array[float], start: int, dump: Dump, limit: MemoryLimit
) -> Iterator[Done | Failure]:
    """The results of the tasks from ``start`` on, as parts and failures in order.

    What raises anything while it is pickled is to blame itself, be it SystemExit: whichever thread
    packs, and whatever task runs by then.

    What cannot be pickled, or is too large for one part, is halved until it can or is one task:
    a failure costs O(log n) more passes and takes no neighbour with it.

    Args:
        values: at least one result.
        seconds: one per result.
        start: index of the first.
        dump: pickles a list.
        limit: what the tasks may allocate.
    """
    payload = b""
    problem: CallError | None = None
    try:
        payload = dump(values) if len(values) > 1 else _dump_one(values, dump, limit)
    except BaseException as error:
        if len(values) == 1 and (failure := limit.describe_result(error, start, seconds[0])):
            yield failure
            return
        problem = _unpicklable(values[0], error)
    kind = "unpicklable" if problem else "error"
    if len(values) == 1 and len(payload) > MAX_RESULT:
        problem = _too_large(values[0], len(payload))
    if len(values) == 1 and problem:
        yield describe(problem, start, start + 1, seconds[0], kind)
    elif problem or (len(values) > 1 and len(payload) > MAX_PART):
        del payload
        middle = len(values) // 2
        yield from pack(values[:middle], seconds[:middle], start, dump, limit)
        yield from pack(values[middle:], seconds[middle:], start + middle, dump, limit)
    else:
        yield Done(start, start + len(values), payload, seconds.tobytes())


def _dump_one(values: list[Any], dump: Dump, limit: MemoryLimit) -> bytes:
    """A result is to blame only if it is large itself, not if another task left no room for it."""
    try:
        return dump(values)
    except MemoryError:
        with limit.reserve:
            return dump(values)


def _unpicklable(value: Any, error: BaseException) -> CallError:
    return CallError(
        type(error).__qualname__,
        f"the result, a {_type_name(value)}, cannot be pickled: {text_of(error)}; return plain "
        "values (numbers, text, bytes, lists, dicts) or objects of a class that a module defines",
    )


def _too_large(value: Any, size: int) -> CallError:
    return CallError(
        "ResultTooLarge",
        f"the result, a {_type_name(value)}, is {size / (1 << 20):.1f} MiB when pickled and at "
        f"most {MAX_RESULT >> 20} MiB can travel; write it to a file and return its path",
    )


def _type_name(value: Any) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
