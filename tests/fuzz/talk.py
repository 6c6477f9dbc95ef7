"""A peer that says what it is told to, byte for byte, and looks at every answer."""

from __future__ import annotations

import contextlib
import hmac
import os
import pickle
import socket
import struct

from farm.wire.messages import PROTOCOL
from fuzz.frames import ANSWER, CHALLENGE, FARM, MANAGER, PLAIN, STRANGER, framed

HOST = "127.0.0.1"
PATIENCE = 10.0
"""Seconds after which an answer that must come has not come."""

_REQUESTS = {
    PLAIN: pickle.dumps((None, "accept_connection", ("fuzz",), {}), 4),
    FARM: pickle.dumps((None, "accept_connection", (f"farm/{PROTOCOL}",), {}), 4),
}
_RETURNED = pickle.dumps(("#RETURN", None), 4)

LEAKS = (b"Traceback", b'.py"', b".py:", b'File "')
"""What would tell a peer of the server's insides."""


class GoneError(Exception):
    """The server has closed the connection."""


class AnswerError(Exception):
    """The server has said what it should not, or nothing."""


class SilentError(AnswerError):
    """The server has said nothing for too long."""


class Talk:
    """One connection.

    Args:
        port: of the server.
        key: that the peer holds; a stranger needs none.
    """

    def __init__(self, port: int, key: bytes = b"") -> None:
        self._key = key
        self._socket = socket.create_connection((HOST, port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def send(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            GoneError: the server has closed the connection before.
        """
        try:
            self._socket.sendall(data)
        except ConnectionError as error:
            raise GoneError from error

    def frame(self, seconds: float | None = None) -> bytes | None:
        """The next frame of the server; None if it does not come in time (`PATIENCE`).

        Raises:
            GoneError: the server has closed the connection.
            AnswerError: what came is none, or tells of the server's insides.
        """
        self._socket.settimeout(PATIENCE if seconds is None else seconds)
        while True:
            if len(self._buffer) >= 4:
                (size,) = struct.unpack_from("!i", self._buffer)
                if not 0 <= size <= 1 << 30:
                    raise AnswerError(f"a frame of {size} bytes: {bytes(self._buffer[:80])!r}")
                if len(self._buffer) >= 4 + size:
                    data = bytes(self._buffer[4 : 4 + size])
                    del self._buffer[: 4 + size]
                    return check_answer(data)
            try:
                more = self._socket.recv(1 << 16)
            except TimeoutError:
                return None
            except ConnectionError as error:
                raise GoneError from error
            if not more:
                raise GoneError
            self._buffer += more

    def rest(self) -> list[bytes]:
        """Say that this was all; what the server still answers until it closes the connection.

        Raises:
            AnswerError: it does not, or its answer is none.
        """
        answers = []
        with contextlib.suppress(GoneError, OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while (answer := self.frame()) is not None:
                answers.append(answer)
            raise SilentError("the server does not close the connection that its peer has closed")
        if self._buffer:
            check_answer(bytes(self._buffer))
        return answers

    def close(self) -> None:
        """Close at once, and leave nothing behind in the network."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    # -- the handshake ------------------------------------------------------------------------

    def meet(self, steps: int) -> None:
        """Take the challenge, and the first steps of the handshake as they should be.

        Args:
            steps: `ANSWER` for none of them, and so on; see `farm.wire.handshake`.
        """
        challenge = self._expect("a challenge")
        if not challenge.startswith(b"#CHALLENGE#{sha256}"):
            raise AnswerError(f"no challenge: {challenge!r}")
        if steps == ANSWER:
            return
        answer = answer_to(challenge, self._key)
        more = framed(b"#CHALLENGE#{sha256}" + os.urandom(20)) if steps > CHALLENGE else b""
        self.send(framed(answer) + more)
        self._expect("a welcome", b"#WELCOME#")
        if more:
            self._expect("an answer to the peer's challenge")

    def enter(self, stage: str) -> None:
        """Come to a stage (`STRANGER`: only as far as the challenge)."""
        challenge = self._expect("a challenge")
        if stage == STRANGER:
            return
        said = framed(answer_to(challenge, self._key))
        said += framed(b"#CHALLENGE#{sha256}" + os.urandom(20)) + framed(b"#WELCOME#")
        if stage != MANAGER:
            said += framed(_REQUESTS[stage])
        self.send(said)
        self._expect("a welcome", b"#WELCOME#")
        self._expect("an answer to the peer's challenge")
        if stage != MANAGER:
            self._expect("a connection", _RETURNED)

    def _expect(self, what: str, exactly: bytes = b"") -> bytes:
        try:
            frame = self.frame()
        except GoneError as error:
            raise AnswerError(f"the server closed the connection instead of {what}") from error
        if frame is None:
            raise SilentError(f"the server does not say {what}")
        if exactly and frame != exactly:
            raise AnswerError(f"the server said {frame!r} instead of {what}")
        return frame


def answer_to(challenge: bytes, key: bytes) -> bytes:
    """What `multiprocessing.connection.answer_challenge` would send (CPython 3.12 and later)."""
    return b"{sha256}" + hmac.new(key, challenge.removeprefix(b"#CHALLENGE#"), "sha256").digest()


def check_answer(data: bytes) -> bytes:
    """An answer that tells nothing of the server's insides.

    Raises:
        AnswerError: it does.
    """
    for leak in LEAKS:
        if leak in data:
            raise AnswerError(f"an answer has {leak!r} in it: {data[:2000]!r}")
    return data
