"""Messages to bytes and back.

Farm's own peers speak msgpack: msgspec checks every type while it decodes, nothing is executed,
and a 64 KiB request costs less than the stock pickle. Plain `BaseManager` clients speak pickle,
of which `farm.wire.builtins` reads builtin values alone.
"""

from __future__ import annotations

from itertools import compress
from typing import TypeVar

import msgspec

from farm import pieces
from farm.errors import ProtocolError
from farm.wire import controls, leases, messages
from farm.wire.messages import Message

Request = (
    messages.Hello
    | messages.Submit
    | messages.Append
    | messages.GetStatus
    | messages.ListBatches
    | messages.GetSpec
    | messages.GetOutcomes
    | messages.GetResults
    | messages.Cancel
    | messages.GetNodes
    | controls.Pause
    | controls.Resume
    | controls.Retry
    | controls.Forget
    | controls.Restore
    | controls.DrainNode
    | leases.Join
    | leases.Want
    | messages.GetBlock
    | leases.GetCode
    | leases.Report
    | leases.Beat
    | leases.Leave
)
"""What clients and nodes send."""

Reply = (
    messages.Welcome
    | messages.Done
    | messages.Refused
    | messages.Submitted
    | messages.Status
    | messages.Batches
    | messages.SpecFound
    | messages.Outcomes
    | messages.Nodes
    | controls.Retried
    | controls.Draining
    | leases.Joined
    | leases.Lease
    | messages.Block
    | leases.Code
    | leases.Dropped
    | leases.Recall
    | leases.Drain
)
"""What a server sends."""

F = TypeVar("F")
M = TypeVar("M", bound=Message)


class _RequestFrame(msgspec.Struct, array_like=True, frozen=True):
    id: int
    body: Request


class _ReplyFrame(msgspec.Struct, array_like=True, frozen=True):
    id: int
    body: Reply


_CARRIERS: dict[type[Message], str] = {
    messages.Submit: "blocks",
    messages.Append: "blocks",
    messages.Outcomes: "outcomes",
    leases.Report: "parts",
}
"""What has payloads in a list."""

_FEW = 64
"""Entries of a list that are looked at: where there are more, none has a large payload, or they do
not fit a message."""

_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(_RequestFrame)
_replies = msgspec.msgpack.Decoder(_ReplyFrame)


def encode(number: int, body: Message) -> bytes:
    """One frame's bytes; ``number`` is the request's id, 0 for a message without an answer."""
    return _encoder.encode((number, body))


def encode_pieces(number: int, body: Message) -> list[bytes]:
    """As `encode`, with each large payload as a piece of its own, which is not copied."""
    field = _CARRIERS.get(type(body))
    if field is not None:
        some = getattr(body, field)
        for one in some if len(some) <= _FEW else ():
            if len(one.payload) >= pieces.LARGE:
                return _scattered(number, body, field)
    elif type(body) is messages.Block and len(body.payload) >= pieces.LARGE:
        return pieces.cut(encode(number, _marked(body)), [body.payload])
    return [_encoder.encode((number, body))]


def _scattered(number: int, body: Message, field: str) -> list[bytes]:
    some = getattr(body, field)
    large = [len(one.payload) >= pieces.LARGE for one in some]
    marked = [_marked(one) if is_so else one for one, is_so in zip(some, large, strict=True)]
    body = msgspec.structs.replace(body, **{field: marked})
    return pieces.cut(encode(number, body), [one.payload for one in compress(some, large)])


def _marked(one: M) -> M:
    return msgspec.structs.replace(one, payload=pieces.MARK)


def decode_request(frame: bytes | bytearray | memoryview) -> tuple[int, Request]:
    """What a client or node sent.

    Raises:
        ProtocolError: the frame is not a request of this protocol.
    """
    decoded = _decode(_requests, frame, "request")
    return decoded.id, decoded.body


def decode_reply(frame: bytes | bytearray | memoryview) -> tuple[int, Reply]:
    """What a server sent.

    Raises:
        ProtocolError: the frame is not a reply of this protocol.
    """
    decoded = _decode(_replies, frame, "reply")
    return decoded.id, decoded.body


def number_of(head: bytes) -> int | None:
    """The request's id, from the first bytes of a frame; None if they are of no request.

    Its array of two is msgpack's ``92``, its id a positive number in the shortest form there is:
    up to 127 in a byte, else behind ``cc`` to ``cf`` in one, two, four or eight.
    """
    if len(head) < 2 or head[0] != 0x92:
        return None
    kind, sizes = head[1], {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
    if kind < 0x80:
        return kind
    size = sizes.get(kind, 0)
    return int.from_bytes(head[2 : 2 + size], "big") if size and len(head) >= 2 + size else None


def _decode(
    decoder: msgspec.msgpack.Decoder[F], frame: bytes | bytearray | memoryview, what: str
) -> F:
    try:
        return decoder.decode(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"the frame is not a {what}: {error}") from error
