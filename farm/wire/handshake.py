"""The standard library's challenge, as the server's side of a connection goes through it.

The exchange is that of `multiprocessing.connection` (`deliver_challenge`, then
`answer_challenge`, CPython 3.12 and later; Python 3.11 answers with a bare HMAC-MD5 over the same
challenge). Here it is without I/O, because the server reads all its connections in one loop and
must not wait for any of them. Clients use the standard library's functions unchanged.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Sequence
from multiprocessing import connection as stdlib
from typing import Generic, Protocol, TypeVar

from farm.errors import ProtocolError

CHALLENGE = b"#CHALLENGE#"
WELCOME = b"#WELCOME#"
FAILURE = b"#FAILURE#"
REFUSED = b"#REFUSED#"
"""In the place of a challenge: a code, ``#`` and a sentence for people. See `refusal`."""

MAX_FRAME = 256
"""Bytes of the longest frame before a peer is known, as in the standard library."""

_DIGEST_PREFIX = b"{sha256}"
_CHALLENGE_BYTES = 40
_MD5_BYTES = 16


class KeyRefusedError(ProtocolError):
    """The peer does not hold the key."""


class _Mailbox:
    """The connection that `answer_challenge` is given: one frame in, one frame out, no waiting."""

    def __init__(self, frames: list[bytes]) -> None:
        self.incoming = frames
        self.outgoing: list[bytes] = []

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        del maxlength  # frames were cut to MAX_FRAME when they were read
        return self.incoming.pop(0)

    def send_bytes(self, data: bytes) -> None:
        self.outgoing.append(data)


def refusal(code: str, text: str) -> bytes:
    """The frame that turns a peer away before it is known.

    Args:
        code: ``busy`` (it may come again later) or ``tls`` (it must come otherwise).
        text: a sentence without anything that a stranger should not know.
    """
    return REFUSED + f"{code}#{text}".encode()


class Known(Protocol):
    """A key that a server accepts."""

    @property
    def secret(self) -> bytes:
        """What both ends hold."""


K = TypeVar("K", bound=Known)


class ServerHandshake(Generic[K]):
    """Both challenges of one connection.

    The challenge is sent once; the answer is compared with what each key would give, in the digest
    that the peer has chosen.

    Args:
        keys: one of which the peer must hold.
        more: gives the keys as they are now, where none of ``keys`` is the peer's: it may have been
            made a moment ago.

    Example:
        `begin` gives the first frame to send; each frame received goes to `receive`, which gives
        the frames to send; then `complete` is True, or an error was raised.
    """

    def __init__(self, keys: Sequence[K], more: Callable[[], Sequence[K]] = lambda: ()) -> None:
        self._keys = keys
        self._more = more
        self._challenge = _DIGEST_PREFIX + os.urandom(_CHALLENGE_BYTES)
        self._step = self._check_answer
        self.complete = False
        self.key: K | None = None
        """The peer's, once it has shown that it holds it."""

    def begin(self) -> bytes:
        """The server's challenge."""
        return CHALLENGE + self._challenge

    def receive(self, frame: bytes) -> list[bytes]:
        """Go one step on.

        Raises:
            KeyRefusedError: the answer is wrong; send `FAILURE` and close.
            ProtocolError: the frame is not of this exchange.
        """
        return self._step(frame)

    def _check_answer(self, frame: bytes) -> list[bytes]:
        if frame.startswith(_DIGEST_PREFIX):
            digest, answer = "sha256", frame[len(_DIGEST_PREFIX) :]
        elif len(frame) == _MD5_BYTES:
            digest, answer = "md5", frame
        else:
            raise ProtocolError("the peer's answer to the challenge has an unknown form")
        self.key = self._find(self._keys, digest, answer)
        if self.key is None:
            self.key = self._find(self._more(), digest, answer)
        if self.key is None:
            raise KeyRefusedError("the peer does not hold a key of this server")
        self._step = self._answer_peer
        return [WELCOME]

    def _find(self, keys: Sequence[K], digest: str, answer: bytes) -> K | None:
        found = None
        for key in keys:  # all of them: how long it takes says nothing about which one it is
            expected = hmac.new(key.secret, self._challenge, digest).digest()
            if hmac.compare_digest(expected, answer):
                found = key
        return found

    def _answer_peer(self, frame: bytes) -> list[bytes]:
        # The standard library reads the verdict right after it has answered; it is given a
        # welcome here, and the peer's real verdict is checked in the next step.
        assert self.key is not None
        mailbox = _Mailbox([frame, WELCOME])
        try:
            stdlib.answer_challenge(mailbox, self.key.secret)  # type: ignore[arg-type]
        except (stdlib.AuthenticationError, AssertionError, ValueError) as error:  # type: ignore[attr-defined]
            raise ProtocolError(f"the peer's challenge cannot be answered: {error}") from error
        self._step = self._read_verdict
        return mailbox.outgoing

    def _read_verdict(self, frame: bytes) -> list[bytes]:
        if frame != WELCOME:
            raise KeyRefusedError("the peer refused this server's answer")
        self.complete = True
        return []
