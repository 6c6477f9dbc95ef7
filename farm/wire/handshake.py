"""The standard library's challenge, as the server's side of a connection goes through it.

The exchange is that of `multiprocessing.connection` (`deliver_challenge`, then
`answer_challenge`, CPython 3.12 and later; Python 3.11 answers with a bare HMAC-MD5 over the same
challenge). Here it is without I/O, because the server reads all its connections in one loop and
must not wait for any of them. Clients use the standard library's functions unchanged.
"""

from __future__ import annotations

import hmac
import os
from multiprocessing import connection as stdlib

from farm.errors import ProtocolError

CHALLENGE = b"#CHALLENGE#"
WELCOME = b"#WELCOME#"
FAILURE = b"#FAILURE#"
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


class ServerHandshake:
    """Both challenges of one connection.

    Args:
        authkey: the key that the peer must hold.

    Example:
        `begin` gives the first frame to send; each frame received goes to `receive`, which gives
        the frames to send; then `complete` is True, or an error was raised.
    """

    def __init__(self, authkey: bytes) -> None:
        self._authkey = authkey
        self._challenge = _DIGEST_PREFIX + os.urandom(_CHALLENGE_BYTES)
        self._step = self._check_answer
        self.complete = False

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
        expected = hmac.new(self._authkey, self._challenge, digest).digest()
        if not hmac.compare_digest(expected, answer):
            raise KeyRefusedError("the peer does not hold this server's key")
        self._step = self._answer_peer
        return [WELCOME]

    def _answer_peer(self, frame: bytes) -> list[bytes]:
        # The standard library reads the verdict right after it has answered; it is given a
        # welcome here, and the peer's real verdict is checked in the next step.
        mailbox = _Mailbox([frame, WELCOME])
        try:
            stdlib.answer_challenge(mailbox, self._authkey)  # type: ignore[arg-type]
        except (stdlib.AuthenticationError, AssertionError, ValueError) as error:  # type: ignore[attr-defined]
            raise ProtocolError(f"the peer's challenge cannot be answered: {error}") from error
        self._step = self._read_verdict
        return mailbox.outgoing

    def _read_verdict(self, frame: bytes) -> list[bytes]:
        if frame != WELCOME:
            raise KeyRefusedError("the peer refused this server's answer")
        self.complete = True
        return []
