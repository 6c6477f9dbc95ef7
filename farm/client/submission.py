"""What is sent for a new batch: of a batch file, or of a Python function and its arguments."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from farm.batch import spec as specs
from farm.batch.loader import Batch, load
from farm.client import byvalue
from farm.client.blocks import BLOCK_BYTES
from farm.client.files import LocalFiles
from farm.errors import BatchFileError, Problem, UsageError
from farm.wire.frames import MAX_FRAME
from farm.wire.messages import Submit

APPEND_BYTES = 8 * 1024 * 1024
"""Payload bytes of outcomes that are sent in one message."""

SPARE_BYTES = 64 * 1024
"""What a frame needs beside the largest thing in it."""

_SMALL = frozenset({bool, float, int, type(None)})
"""Types of values that are not weighed: a block has not so many of them."""


def load_file(
    path: Path,
    overrides: Iterable[str] = (),
    name: str | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Batch:
    """Read and check a batch file; see `farm.batch.loader.load`.

    Raises:
        BatchFileError: with everything that is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is not UTF-8: {error}"
        raise BatchFileError([Problem(str(path), f"cannot be read: {reason}")]) from error
    return load(text, str(path), LocalFiles(path.parent), list(overrides), name, options)


def of_batch(batch: Batch) -> Submit:
    """The submission of a batch file.

    Raises:
        UsageError: it is too large to send.
    """
    spec = batch.spec
    submit = Submit(
        token=secrets.token_hex(16),
        name=spec.name,
        total=batch.total,
        options=spec.options,
        spec=specs.encode(msgspec.structs.replace(spec, files={})),
        files=spec.files,
        digest=spec.digest,
    )
    size = len(submit.spec) + sum(map(len, spec.files.values()))
    if size > MAX_FRAME - SPARE_BYTES:
        raise UsageError(
            f"batch {spec.name!r} has {size:,} bytes of parameters and files; the limit is "
            f"{MAX_FRAME - SPARE_BYTES:,}. Pass names of files instead of what is in them, or "
            "split the batch."
        )
    return submit


def of_function(
    function: Callable[..., Any], name: str | None, options: specs.Options
) -> specs.Spec:
    """The batch of a Python function, whose arguments have names and travel as blocks.

    Raises:
        UsageError: as of `call_of`.
    """
    call = call_of(function)
    shown = name or getattr(function, "__qualname__", None) or type(function).__name__
    return specs.Spec(shown[:200], call, options, items="named")


def call_of(function: Callable[..., Any]) -> specs.Call:
    """By name if the function can be imported, else by value.

    Raises:
        UsageError: it is not callable, or cannot be pickled.
    """
    if not callable(function):
        raise UsageError(f"{function!r} cannot be called: submit a file's path or a function")
    name = getattr(function, "__qualname__", "")
    if can_be_imported(function):
        return specs.PythonCall(f"{function.__module__}:{name}")
    try:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return specs.PickledCall(byvalue.dumps(function), name or repr(function), python)
    except Exception as error:
        # Pickling runs the object's own methods, which may raise anything.
        raise UsageError(f"{function!r} cannot be sent to nodes: {error}") from error


def can_be_imported(function: Any) -> bool:
    """Whether it is what its module has under its name, so that its name is enough."""
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", "")
    if module in ("", "__main__", "__mp_main__") or "<" in name:
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is function


class Params:
    """The points of a function's batch, as `farm.client.blocks.Take`.

    Args:
        params: the keyword arguments of each task.
    """

    def __init__(self, params: Iterable[Mapping[str, Any]]) -> None:
        self._params = iter(params)
        self._taken = 0

    def take(self, count: int) -> list[dict[str, Any]]:
        """The next points, copied as they are taken: at most so many, and of few bytes.

        Raises:
            UsageError: a point is not a mapping.
        """
        points: list[dict[str, Any]] = []
        room = BLOCK_BYTES
        for point in islice(self._params, count):
            if type(point) is not dict and not isinstance(point, Mapping):  # the first is quick
                raise UsageError(
                    f"{name_of_point(self._taken + len(points))} is {point!r}: params is a list of "
                    "mappings, one for each task, such as [{'x': 1}, {'x': 2}]"
                )
            points.append(dict(point))
            for value in point.values():
                if type(value) not in _SMALL:
                    room -= _weight(value)
            if room <= 0:
                break
        self._taken += len(points)
        return points


def name_of_point(index: int) -> str:
    """What a point is called in a message."""
    return f"params[{index}]"


def _weight(value: Any) -> int:
    """Roughly how many bytes a value has, at a glance."""
    return len(value) if isinstance(value, bytes | bytearray | str) else sys.getsizeof(value, 64)
