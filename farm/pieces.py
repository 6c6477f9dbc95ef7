"""A message with large payloads, in pieces to be sent one after another.

To copy a payload into the message that carries it takes longer than a system call more. So the
message is encoded with marks in the places of its large payloads, and is cut there. What is sent is
the same msgpack: the head of a binary of 32 bits (``c6``, see its specification), and its bytes.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Sequence

LARGE = 64 * 1024
"""Bytes from which on a payload is a piece of its own; what is shorter has another head."""

MARK = secrets.token_bytes(16)
"""In the place of a payload: what nobody knows is in no message by itself."""

_MARKED = b"\xc4\x10" + MARK
_HEAD = struct.Struct("!BI")


def cut(marked: bytes, payloads: Sequence[bytes]) -> list[bytes]:
    """The pieces of a message.

    Args:
        marked: msgpack that has `MARK` in the place of each payload.
        payloads: those in its order, of `LARGE` to 2**32 - 1 bytes.

    Example:
        >>> import msgspec
        >>> payload = bytes(LARGE)
        >>> pieces = cut(msgspec.msgpack.encode(["a", MARK, "z"]), [payload])
        >>> [len(piece) for piece in pieces]
        [8, 65536, 2]
        >>> msgspec.msgpack.decode(b"".join(pieces)) == ["a", payload, "z"]
        True
    """
    pieces: list[bytes] = []
    at = 0
    for payload in payloads:
        place = marked.index(_MARKED, at)
        pieces += [marked[at:place] + _HEAD.pack(0xC6, len(payload)), payload]
        at = place + len(_MARKED)
    if at < len(marked):
        pieces.append(marked[at:])
    return pieces
