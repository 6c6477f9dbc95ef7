"""Messages to bytes and back.

Farm's own peers speak msgpack: msgspec checks every type while it decodes, nothing is executed,
and a 64 KiB request costs less than the stock pickle. Plain `BaseManager` clients speak pickle,
of which `farm.wire.builtins` reads builtin values alone.
"""

from __future__ import annotations

import msgspec

from farm.errors import ProtocolError
from farm.wire.messages import Message, Reply, Request


class _RequestFrame(msgspec.Struct, array_like=True, frozen=True):
    id: int
    body: Request


class _ReplyFrame(msgspec.Struct, array_like=True, frozen=True):
    id: int
    body: Reply


_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(_RequestFrame)
_replies = msgspec.msgpack.Decoder(_ReplyFrame)


def encode(number: int, body: Message) -> bytes:
    """One frame's bytes; ``number`` is the request's id, 0 for a message without an answer."""
    return _encoder.encode((number, body))


def decode_request(frame: bytes | bytearray | memoryview) -> tuple[int, Request]:
    """What a client or node sent.

    Raises:
        ProtocolError: the frame is not a request of this protocol.
    """
    try:
        decoded = _requests.decode(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"the frame is not a request: {error}") from error
    return decoded.id, decoded.body


def decode_reply(frame: bytes | bytearray | memoryview) -> tuple[int, Reply]:
    """What a server sent.

    Raises:
        ProtocolError: the frame is not a reply of this protocol.
    """
    try:
        decoded = _replies.decode(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"the frame is not a reply: {error}") from error
    return decoded.id, decoded.body
