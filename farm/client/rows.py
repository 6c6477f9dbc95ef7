"""A task's outcome as plain data, for JSON lines, CSV and tables; nothing of it is executed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from farm.client.jsontext import can_be_shown, holds
from farm.client.outcome import Outcome
from farm.errors import ProtocolError
from farm.wire import builtins, standins

if TYPE_CHECKING:
    from farm.client.batch import Batch

Row = dict[str, Any]
Params = Callable[[int], Any]


class Unreadable:
    """What was pickled in a way that cannot be shown without executing it.

    Args:
        size: of the pickle, in bytes.
    """

    def __init__(self, size: int | None = None) -> None:
        self._size = size

    def __repr__(self) -> str:
        what = "a value" if self._size is None else f"{self._size:,} bytes"
        verb = "is" if self._size is None else "are"
        return f"<{what} that {verb} read by the Python API alone>"

    def __getitem__(self, _: int) -> Unreadable:
        """Each of the results that were pickled together."""
        return self


def loads(payload: bytes) -> Any:
    """Unpickle builtin values as they are, and anything else as something that can be shown."""
    for read in (builtins.loads, standins.loads):
        with suppress(ProtocolError):  # not builtins alone; or not to be shown at all
            return read(payload)
    return Unreadable(len(payload))


def params_of(batch: Batch) -> Params:
    """What gives the parameters of each task of a batch."""
    return batch.params(loads=loads)


def rows(outcomes: Iterator[Outcome], params: Params) -> Iterator[Row]:
    """A row for each outcome; see `row`."""
    for outcome in outcomes:
        yield row(outcome, params(outcome.index))


def row(outcome: Outcome, params: Any) -> Row:
    """One task, with the keys in the order in which they are written.

    ``index, params, status, result, seconds, node, attempts``; ``error`` (an object of ``kind,
    type, message, traceback``) for a failure; ``repr: true`` where a value that JSON cannot hold
    was replaced by its repr.
    """
    shown, replaced = _shown_params(_showable(params))
    result = _showable(outcome.value)
    if not holds(result):
        result, replaced = repr(result), True
    made: Row = {
        "index": outcome.index,
        "params": shown,
        "status": outcome.status,
        "result": result,
        "seconds": round(outcome.seconds, 6),
        "node": outcome.node,
        "attempts": outcome.attempts,
    }
    if outcome.error is not None:
        made["error"] = {
            "kind": outcome.error.kind,
            "type": outcome.error.type_name,
            "message": outcome.error.message,
            "traceback": outcome.error.remote_traceback,
        }
    if replaced:
        made["repr"] = True
    return made


def _showable(value: Any) -> Any:
    """The value, unless it would take very long to write: a pickle of a few bytes may do that."""
    return value if can_be_shown(value, standins.inside) else Unreadable()


def _shown_params(params: Any) -> tuple[Any, bool]:
    """Parameters by name, each that JSON cannot hold as its repr; whether there was one."""
    if holds(params):
        return params, False
    if type(params) is not dict:
        return repr(params), True
    shown = {str(k): value if holds(value) else repr(value) for k, value in params.items()}
    return shown, True
