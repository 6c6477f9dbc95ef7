"""What of a batch travels: the call, the space and the options, as bytes the server only stores.

Apart from `model.py` because nodes and slots read it: this module must import neither pydantic
nor yaml. The encoding is msgpack by msgspec, which validates types while it decodes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

import msgspec

MAX_DELAY = 86_400.0
"""Seconds that a retry waits at most, whatever its backoff says."""

MAX_RATE = 1e6
"""Tasks a second; beyond it a limit limits nothing."""


class PythonCall(msgspec.Struct, frozen=True, tag="python"):
    """A function, coroutine function or class (made with the parameters, then ``run()``).

    Args:
        target: ``module:qualified.name``.
        file: the file that defines the module, a key of `Spec.files`; None if the module is
            importable on the node.
    """

    target: str
    file: str | None = None


class PickledCall(msgspec.Struct, frozen=True, tag="pickled"):
    """A callable sent by value.

    Args:
        payload: the callable, pickled by cloudpickle.
        name: its qualified name, for people.
        python: the version whose bytecode it is, such as ``3.12``; another one cannot run it.
    """

    payload: bytes
    name: str
    python: str


class CommandCall(msgspec.Struct, frozen=True, tag="command"):
    """A command: a text for the shell, or a list of arguments that runs without one."""

    template: str | list[str]


class QueueCall(msgspec.Struct, frozen=True, tag="queue"):
    """Each item brings its own call: ``(target, args, kwargs)`` of a plain `put`."""


class EachCall(msgspec.Struct, frozen=True, tag="each"):
    """Each item brings its own call: the bytes of a pickled ``(function, args, kwargs)``.

    One that cannot be unpickled is a failure of its own task, as nothing else is in these bytes.

    Args:
        python: the version whose bytecode functions that travel by value are.
    """

    python: str


Items = Literal["both", "one", "star", "named"]
"""What each item of a function's blocks is; see `Spec`."""

Call = PythonCall | PickledCall | CommandCall | QueueCall | EachCall


class Options(msgspec.Struct, frozen=True):
    """How the tasks of a batch are run.

    Args:
        retries: further attempts after a failed one, 0 to 1000.
        timeout: seconds an attempt may take, above 0; None for no limit.
        priority: batches of a higher one are served first, -1000 to 1000.
        delay: seconds before the first retry.
        backoff: each further retry waits so many times as long as the one before.
        jitter: a retry's delay is varied at random by up to this share of it, 0 to 1.
        crash_limit: processes that one task may take with it before it has failed, 1 to 100.
        max_failures: the batch is stopped when more tasks than this have failed; None for never.
        max_failure_share: likewise when more than this share of its tasks have, 0 to 1.
        rerun: False for tasks that must not run twice: one whose process, node or connection was
            lost before its outcome was recorded has failed as ``lost``.
        max_parallel: so many of the batch's tasks run at a time on the whole farm.
        rate: so many of the batch's tasks begin in a second on the whole farm.
        memory: bytes that the process of a task may allocate.
    """

    retries: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    timeout: Annotated[float, msgspec.Meta(gt=0)] | None = None
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    delay: Annotated[float, msgspec.Meta(ge=0, le=MAX_DELAY)] = 0.0
    backoff: Annotated[float, msgspec.Meta(ge=1, le=100)] = 1.0
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    crash_limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    max_failures: Annotated[int, msgspec.Meta(ge=0)] | None = None
    max_failure_share: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    rerun: bool = True
    max_parallel: Annotated[int, msgspec.Meta(ge=1)] | None = None
    rate: Annotated[float, msgspec.Meta(gt=0, le=MAX_RATE)] | None = None
    memory: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Spec(msgspec.Struct, frozen=True):
    """One batch as it travels.

    Args:
        name: for people; not unique.
        call: what each task runs.
        options: how.
        space: the document of a parameter space (see `farm.batch.space.from_document`); None if
            the arguments travel as blocks of pickled items.
        files: the Python files that are shipped, by name.
        digest: SHA-256 (hex) over ``files``; empty if there are none.
        items: what each item of a function's blocks is: ``both`` for ``(args, kwargs)``, ``one``
            for its only argument, ``star`` for a tuple of them; ``named`` for a mapping, of which a
            block holds what `farm.batch.points.pack` made.
    """

    name: str
    call: Call
    options: Options = Options()
    space: dict[str, Any] | None = None
    files: dict[str, bytes] = {}
    digest: str = ""
    items: Items = "both"


class _Outline(msgspec.Struct, frozen=True):
    """A spec whose space is checked to be msgpack, and not built."""

    name: str
    call: Call
    options: Options = Options()
    space: msgspec.Raw = msgspec.Raw(b"\xc0")


_outline = msgspec.msgpack.Decoder(_Outline)
_decoder = msgspec.msgpack.Decoder(Spec)
_encoder = msgspec.msgpack.Encoder()


def encode(spec: Spec) -> bytes:
    """The bytes that travel and are journalled."""
    return _encoder.encode(spec)


def decode(data: bytes) -> Spec:
    """The reverse of `encode`.

    Raises:
        msgspec.DecodeError: the bytes are not a `Spec`.
    """
    return _decoder.decode(data)


def call_of(data: bytes) -> Call:
    """What each task runs, without building the space (which may be large).

    Raises:
        ValueError: the bytes are not a `Spec`; a `msgspec.DecodeError`, or a text is no UTF-8.
    """
    return _outline.decode(data).call


def check(data: bytes, files: Collection[str]) -> None:
    """Whether the bytes are a spec whose files are there.

    Args:
        data: the bytes.
        files: the names of those that come with it.

    Raises:
        msgspec.DecodeError: they are not.
        ValueError: it calls what is in a file that does not come with it.
    """
    call = call_of(data)
    if isinstance(call, PythonCall) and call.file is not None and call.file not in files:
        raise ValueError(f"the file {call.file!r}, which is to be called, is not among the files")
