"""A batch's program as a slot holds it: what to call, and with which arguments for each index."""

from __future__ import annotations

import functools
import itertools
import pickle
import sys
from collections.abc import Iterable
from typing import Any

from farm.batch.command import TemplateError
from farm.batch.points import Points
from farm.batch.space import Space, from_document
from farm.batch.spec import CommandCall, EachCall, PickledCall, PythonCall, QueueCall, decode
from farm.engines.calling import Call, by_both, by_name, by_position, positions
from farm.engines.command import Command
from farm.engines.failure import CallError, trace_text
from farm.engines.memory import SUPPORTED
from farm.engines.messages import UseProgram
from farm.engines.packing import Dump, dump_by_value, dump_plain
from farm.engines.resolve import CoroutineRunner, Function, as_function, load

_TARGETS_KEPT = 64

_BY_VALUE = b"cloudpickle"
"""Stands in every pickle of a function that travels by value: its module makes it anew."""


class Items:
    """A block in the slot; its items are unpickled when the first task needs them.

    Args:
        start: index of the first item.
        payload: the pickled list.
    """

    def __init__(self, start: int, payload: bytes) -> None:
        self._start = start
        self._payload = payload
        self._items: list[Any] | None = None
        self._points: Points | None = None

    def between(self, start: int, stop: int) -> list[Any]:
        """The items of ``[start, stop)``.

        Raises:
            CallError: they cannot be unpickled here, or are not in the block.
        """
        if self._items is None:
            self._items = _unpickle(self._payload, "the arguments")
            self._payload = b""
        found = self._items[start - self._start : stop - self._start]
        if start < self._start or len(found) != stop - start:
            raise _not_there(start, stop)
        return found

    def points(self, start: int, stop: int) -> Points:
        """Those of the whole block, if it has those of ``[start, stop)``.

        Raises:
            CallError: as of `between`.
        """
        if self._points is None:
            packed = _unpickle(self._payload, "the arguments")
            try:
                self._points = Points(packed, self._start)
            except ValueError as error:
                raise CallError("BlockError", str(error)) from error
            self._payload = b""
        if start < self._start or stop > self._start + len(self._points):
            raise _not_there(start, stop)
        return self._points


def _not_there(start: int, stop: int) -> CallError:
    return CallError("BlockError", f"the block does not hold the tasks [{start}, {stop})")


class Invocation:
    """One program: made when it arrives, resolved when its first chunk runs.

    Args:
        message: the program.
        runner: runs coroutines.
    """

    def __init__(self, message: UseProgram, runner: CoroutineRunner) -> None:
        self._spec = decode(message.spec)
        self._batch = message.batch
        self._code_dir = message.code_dir
        self._runner = runner
        self._function: Function | None = None
        self._problem: CallError | None = None
        self._space: Space | None = None
        self.memory = self._spec.options.memory if SUPPORTED else None
        self.timed = self._spec.options.timeout is not None
        by_value = isinstance(self._spec.call, PickledCall | EachCall)
        self.dump: Dump = dump_by_value if by_value else dump_plain

    def resolve(self) -> None:
        """Find what the tasks call, at the first use.

        Raises:
            CallError: it cannot be found; the same one every time.
        """
        if self._problem:
            raise self._problem
        if self._function is None:
            try:
                self._function = self._resolve()
            except CallError as error:
                self._problem = error
                raise

    def calls(self, start: int, stop: int, items: Items | None) -> tuple[Call, Iterable[Any]]:
        """What to call for ``[start, stop)``, and the one value for each index.

        Args:
            start: first index.
            stop: one past the last.
            items: the block, if the batch has no space.

        Raises:
            CallError: the values cannot be had.
        """
        assert self._function is not None
        if self._space is None:
            return self._calls_of_items(self._function, start, stop, items)
        if isinstance(self._spec.call, CommandCall):
            indexed = zip(itertools.count(start), self._space.points(start, stop))
            return by_position(self._function), indexed
        return _calls_by_name(self._function, start, stop, self._space)

    def _calls_of_items(
        self, function: Function, start: int, stop: int, items: Items | None
    ) -> tuple[Call, Iterable[Any]]:
        if items is None:
            raise CallError("BlockError", "the batch has no space, and no block came with it")
        if self._spec.items == "named":
            return _calls_by_name(function, start, stop, items.points(start, stop))
        found = items.between(start, stop)
        if isinstance(self._spec.call, CommandCall):
            return by_position(function), ((start + at, item[1]) for at, item in enumerate(found))
        if isinstance(self._spec.call, EachCall) or self._spec.items == "one":
            return function, found
        if isinstance(self._spec.call, QueueCall) or self._spec.items == "star":
            return by_position(function), found
        return by_both(function), found

    def _resolve(self) -> Function:
        self._add_code_dir()
        if self._spec.space is not None:
            self._space = self._read_space(self._spec.space)
        call = self._spec.call
        if isinstance(call, PythonCall):
            found = load(call.target, self._code_dir)
            return as_function(found, call.target, self._runner, must_run=True)
        if isinstance(call, PickledCall):
            _check_version(call.python, f"the function {call.name!r}")
            found = _unpickle(call.payload, f"the function {call.name!r}")
            return as_function(found, call.name, self._runner, must_run=False)
        if isinstance(call, CommandCall):
            return self._command(call)
        if isinstance(call, EachCall):
            return _caller_of_pickled(call)
        return self._call_item

    def _add_code_dir(self) -> None:
        if self._code_dir is not None and self._code_dir not in sys.path:
            sys.path.insert(0, self._code_dir)

    def _read_space(self, document: dict[str, Any]) -> Space:
        try:
            return from_document(document)
        except ValueError as error:
            raise CallError("SpaceError", f"the parameter space cannot be read: {error}") from error

    def _command(self, call: CommandCall) -> Function:
        try:
            return Command(call.template, self._batch)
        except TemplateError as error:
            raise CallError("TemplateError", str(error)) from error

    def _call_item(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._target(target)(*args, **kwargs)

    @functools.cached_property
    def _target(self) -> Function:
        @functools.lru_cache(maxsize=_TARGETS_KEPT)
        def find(target: str) -> Function:
            found = load(target, self._code_dir)
            return as_function(found, target, self._runner, must_run=False)

        return find


def _calls_by_name(
    function: Function, start: int, stop: int, points: Space | Points
) -> tuple[Call, Iterable[Any]]:
    """Calls with arguments that have names, by position where that is the same."""
    order = positions(function, points.names) if points.is_table else None
    if order is None:
        return by_name(function), points.points(start, stop)
    rows = points.rows(start, stop, order)
    return function if len(order) == 1 else by_position(function), rows


def _caller_of_pickled(call: EachCall) -> Function:
    def call_pickled(data: bytes) -> Any:
        if _BY_VALUE in data:
            _check_version(call.python, "what is called")
        function, args, kwargs = _unpickle(data, "the call")
        return function(*args, **kwargs)

    return call_pickled


def _check_version(python: str, what: str) -> None:
    """Bytecode of another version could do anything, such as crash the slot."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if python != here:
        raise CallError(
            "VersionError",
            f"{what} was sent by value from Python {python}; this node "
            f"runs {here}: use the same version on both, or a function that the node can import",
        )


def _unpickle(payload: bytes, what: str) -> Any:
    try:
        return pickle.loads(payload)  # noqa: S301 - a node runs what holders of the key submit
    except Exception as error:
        message = f"{what} cannot be unpickled on this node: {type(error).__name__}: {error}"
        raise CallError("UnpickleError", message, trace_text(error)) from error
