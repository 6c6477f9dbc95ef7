"""The files of an exported batch, as bytes: `batch.json`, and lines of blocks and outcomes.

Nothing here touches a disk or a server. Bytes are base64; what was pickled stays so, and is never
read. `farm.client.folder` has the directory, `farm.client.transfer` what goes to and fro.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Annotated, Any

import msgspec

from farm.batch import spec as specs
from farm.batch.plain import TAG
from farm.batch.space import from_document
from farm.wire.frames import MAX_FRAME
from farm.wire.messages import Block, Failure, Outcome

FORMAT = "farm batch"
VERSION = 1

MAX_LINE = 2 * MAX_FRAME
"""Bytes of a line: what a message may hold, as base64, with room for the rest."""

_FLOAT32 = 4

Count = Annotated[int, msgspec.Meta(ge=0)]
Digest = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of lines holds: lines, tasks in all of them, and the SHA-256 (hex) over it."""

    lines: Count
    tasks: Count
    sha256: Digest


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in `batch.json`: all that it takes to submit the batch again.

    Args:
        format: `FORMAT`.
        version: of the format.
        export: a random id of this export.
        name: the batch's.
        total: how many tasks it has.
        call: what each task runs.
        options: how.
        space: the document of the parameter space, see `space_to_json`; None if there are blocks.
        digest: of the files in ``code``; empty if there are none.
        status: how the batch stood.
        outcomes: what is in ``outcomes.jsonl``.
        blocks: what is in ``blocks.jsonl``; None if there is none.
        items: what each item of the blocks is.
    """

    format: str
    version: int
    export: Annotated[str, msgspec.Meta(min_length=16)]
    name: str
    total: Count
    call: specs.Call
    options: specs.Options
    space: Any
    digest: Digest
    status: dict[str, Any]
    outcomes: Listed
    blocks: Listed | None = None
    items: specs.Items = "both"

    @property
    def cancelled(self) -> bool:
        """Whether it had been cancelled."""
        return self.status.get("state") == "cancelled"

    @property
    def complete(self) -> bool:
        """Whether every task has its outcome."""
        return self.outcomes.tasks == self.total

    def spec(self) -> bytes:
        """The spec as it is submitted, without files."""
        space = None if self.space is None else space_of_json(self.space)
        return specs.encode(
            specs.Spec(self.name, self.call, self.options, space, {}, self.digest, self.items)
        )


# -- batch.json -------------------------------------------------------------------------------


def head_text(head: Head) -> bytes:
    """The bytes of `batch.json`: indented, for people as well."""
    return msgspec.json.format(msgspec.json.encode(head), indent=2) + b"\n"


def read_head(text: bytes) -> Head:
    """The reverse of `head_text`.

    Raises:
        ValueError: they are not those of an exported batch; the text says why, and where.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.lineno}:{error.colno}: it is not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f" it is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(' it is not that of an exported batch ("format" is missing or another)')
    version = document.get("version")
    if version != VERSION:
        raise ValueError(f" it has version {version!r}; this farm reads version {VERSION}")
    try:
        head = msgspec.convert(document, Head)
    except msgspec.ValidationError as error:
        raise ValueError(f" {error}") from error
    _check_head(head)
    return head


def _check_head(head: Head) -> None:
    if (head.space is None) == (head.blocks is None):
        raise ValueError(' it needs either "space" or "blocks"')
    if head.outcomes.tasks > head.total:
        raise ValueError(f" there are more outcomes than tasks ({head.total:,})")
    if head.space is None:
        return
    try:
        size = len(from_document(space_of_json(head.space)))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # Whatever is wrong with a document that somebody changed.
        raise ValueError(f' "space" cannot be used: {error}') from error
    if size != head.total:
        raise ValueError(f' "space" has {size:,} points, but "total" is {head.total:,}')


def space_to_json(data: Any) -> Any:
    """A document of a space as JSON can hold it, exactly.

    What `farm.batch.plain.pack` makes is JSON already but for bytes and for floats that are not
    finite; these become mappings of its kind.

    Example:
        >>> space_to_json({"x": [1.5, float("inf"), b"abc"]})
        {'x': [1.5, {'$': ['float', 'inf']}, {'$': ['bytes', 'YWJj']}]}
    """
    if type(data) is float and not math.isfinite(data):
        return {TAG: ["float", repr(data)]}
    if type(data) is bytes:
        return {TAG: ["bytes", base64.b64encode(data).decode()]}
    if type(data) is list:
        return [space_to_json(item) for item in data]
    if type(data) is dict:
        made = {name: space_to_json(item) for name, item in data.items()}
        return {TAG: ["data", made]} if _tagged(data) else made
    return data


def space_of_json(data: Any) -> Any:
    """The reverse of `space_to_json`.

    Raises:
        ValueError: a mapping of its kind is not one that it makes.
    """
    if type(data) is list:
        return [space_of_json(item) for item in data]
    if type(data) is not dict:
        return data
    if not _tagged(data):
        return {name: space_of_json(item) for name, item in data.items()}
    tag, body = data[TAG]
    if tag == "float":
        return float(body)
    if tag == "bytes":
        return base64.b64decode(body, validate=True)
    return {name: space_of_json(item) for name, item in body.items()}


def _tagged(data: dict[str, Any]) -> bool:
    """Whether a mapping is one of ours, or would be taken for one."""
    match data:
        case {"$": ["float" | "bytes" | "data", _]} if len(data) == 1:
            return True
    return False


# -- lines ------------------------------------------------------------------------------------


class _FailureLine(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    type: str
    text: str
    traceback: str
    exception: bytes | None


class _OutcomeLine(msgspec.Struct, forbid_unknown_fields=True):
    start: Count
    stop: Count
    node: str
    elapsed: Annotated[float, msgspec.Meta(ge=0)]
    offset: Count
    payload: bytes
    seconds: bytes
    failure: _FailureLine | None
    retried: list[tuple[Count, Count]]


class _BlockLine(msgspec.Struct, forbid_unknown_fields=True):
    start: Count
    stop: Count
    payload: bytes


_encode = msgspec.json.Encoder().encode
_outcomes = msgspec.json.Decoder(_OutcomeLine)
_blocks = msgspec.json.Decoder(_BlockLine)


def outcome_line(outcome: Outcome) -> bytes:
    """A line of `outcomes.jsonl`."""
    line = _OutcomeLine(
        outcome.start, outcome.stop, outcome.node, outcome.elapsed, outcome.offset,
        outcome.payload, outcome.seconds, _failure_line(outcome.failure), outcome.retried,
    )  # fmt: skip
    return _encode(line) + b"\n"


def _failure_line(failure: Failure | None) -> _FailureLine | None:
    if failure is None:
        return None
    return _FailureLine(
        failure.kind, failure.type_name, failure.text, failure.traceback, failure.exception
    )


def read_outcome(line: bytes) -> Outcome:
    """The reverse of `outcome_line`.

    Raises:
        ValueError: it is not such a line.
    """
    read = _outcomes.decode(line)
    outcome = Outcome(
        read.start, read.stop, read.node, read.elapsed, read.offset, read.payload, read.seconds,
        _read_failure(read.failure), read.retried,
    )  # fmt: skip
    _check_outcome(outcome)
    return outcome


def _read_failure(read: _FailureLine | None) -> Failure | None:
    if read is None:
        return None
    return Failure(read.kind, read.type, read.text, read.traceback, read.exception)


def _check_outcome(outcome: Outcome) -> None:
    count = outcome.stop - outcome.start
    if count < 1 or (outcome.failure is not None and count != 1):
        raise ValueError(f"[{outcome.start}, {outcome.stop}) is not the range of an outcome")
    if outcome.failure is None:
        if outcome.offset > outcome.start:
            raise ValueError(f"its results cannot begin {outcome.offset} before {outcome.start}")
        if not outcome.payload:
            raise ValueError("it has neither results nor a failure")
        if len(outcome.seconds) < (outcome.offset + count) * _FLOAT32:
            raise ValueError(f"it has too few seconds for {count} tasks")
    if any(not outcome.start <= index < outcome.stop for index, _ in outcome.retried):
        raise ValueError("it counts attempts of tasks of others")


def block_line(block: Block) -> bytes:
    """A line of `blocks.jsonl`."""
    return _encode(_BlockLine(block.start, block.stop, block.payload)) + b"\n"


def read_block(line: bytes) -> Block:
    """The reverse of `block_line`.

    Raises:
        ValueError: it is not such a line.
    """
    read = _blocks.decode(line)
    if read.stop <= read.start:
        raise ValueError(f"[{read.start}, {read.stop}) is not the range of a block")
    return Block(read.start, read.stop, read.payload)
