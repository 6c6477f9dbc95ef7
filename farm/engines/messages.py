"""What an engine and its slots say to one another, and the bytes they say it in.

The two ends are one version of farm on one machine, so nothing here needs to be kept compatible.
"""

from __future__ import annotations

import msgspec

from farm import pieces


class UseProgram(msgspec.Struct, frozen=True, array_like=True, tag="use"):
    """To the slot: a batch it will be given chunks of (see `base.Program`)."""

    batch: int
    spec: bytes
    code_dir: str | None


class Forget(msgspec.Struct, frozen=True, array_like=True, tag="forget"):
    """To the slot: no further chunk of this batch comes before another `UseProgram`."""

    batch: int


class UseBlock(msgspec.Struct, frozen=True, array_like=True, tag="block"):
    """To the slot: the block that the chunks which follow refer to."""

    start: int
    payload: bytes


class Run(msgspec.Struct, frozen=True, array_like=True, tag="run"):
    """To the slot: a chunk, to be run after those that came before.

    Of one that is run carefully each task is reported before the next one begins.
    """

    chunk: int
    batch: int
    start: int
    stop: int
    careful: bool = False


class Drop(msgspec.Struct, frozen=True, array_like=True, tag="drop"):
    """To the slot: do not begin this chunk, or no further task of it if it runs."""

    chunk: int


class Leave(msgspec.Struct, frozen=True, array_like=True, tag="leave"):
    """To the slot: exit once it is idle."""


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """From the slot: results of ``[start, stop)`` (see `base.Part`)."""

    start: int
    stop: int
    payload: bytes
    seconds: bytes


class Failure(msgspec.Struct, frozen=True, array_like=True, tag="failure"):
    """From the slot: each task of ``[start, stop)`` failed in this way (see `base.Failed`)."""

    start: int
    stop: int
    kind: str
    type_name: str
    message: str
    traceback: str
    exception: bytes | None
    seconds: float


class Finished(msgspec.Struct, frozen=True, array_like=True, tag="finished"):
    """From the slot: the oldest chunk it had is over, or one it was told to drop will not begin."""

    chunk: int


class Cut(msgspec.Struct, frozen=True, array_like=True, tag="cut"):
    """From the slot: of the chunk that runs, nothing from ``stop`` on will begin, as it was told to
    drop it."""

    chunk: int
    stop: int


class Spent(msgspec.Struct, frozen=True, array_like=True, tag="spent"):
    """From the slot: it exits, by its own decision; nothing else of its chunks will begin."""


ToSlot = UseProgram | Forget | UseBlock | Run | Drop | Leave
FromSlot = Done | Failure | Finished | Cut | Spent

encode = msgspec.msgpack.Encoder().encode
decode_to_slot = msgspec.msgpack.Decoder(ToSlot).decode
decode_from_slot = msgspec.msgpack.Decoder(FromSlot).decode


def encode_pieces(message: ToSlot | FromSlot) -> list[bytes]:
    """As `encode`, with a large payload as a piece of its own, which is not copied."""
    if isinstance(message, Done | UseBlock) and len(message.payload) >= pieces.LARGE:
        marked = msgspec.structs.replace(message, payload=pieces.MARK)
        return pieces.cut(encode(marked), [message.payload])
    return [encode(message)]
