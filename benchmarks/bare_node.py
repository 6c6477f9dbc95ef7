"""A node of one slot that speaks farm's protocol and runs nothing: it measures the server alone."""

from __future__ import annotations

import array
import pickle
import secrets
import time
from types import TracebackType

from farm.errors import ProtocolError
from farm.wire import codec
from farm.wire.address import parse
from farm.wire.greeting import greet
from farm.wire.leases import Beat, Join, Joined, Lease, Part, Report, Want
from farm.wire.messages import Done, Message
from farm.wire.opening import connect

ANSWER_SECONDS = 30.0
"""For each answer of the server."""

BEAT_SECONDS = 2.0
"""Between signs of life while nothing else is said: a silent node is given up."""


class BareNode:
    """A node on a connection of its own; a context manager.

    Args:
        address: the server's.
        key: its key.
    """

    def __init__(self, address: str, key: bytes) -> None:
        self._channel = connect(parse(address), key)
        self._number = 1  # that of the greeting
        self._token = secrets.token_hex(8)
        self._heard = time.monotonic()
        greet(self._channel)

    def __enter__(self) -> BareNode:
        answer = self._ask(Join("bare", 1, [], self._token))
        if not isinstance(answer, Joined):
            raise ProtocolError(f"the server answered Join with {answer}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()

    def _ask(self, request: Message) -> Message:
        self._number += 1
        self._channel.write(codec.encode(self._number, request))
        number, answer = self._receive()
        if number != self._number:
            raise ProtocolError(f"the server sent {answer} instead of an answer to {request}")
        self._heard = time.monotonic()
        return answer

    def _receive(self) -> tuple[int, Message]:
        return codec.decode_reply(self._channel.receive(time.monotonic() + ANSWER_SECONDS))

    def stay(self) -> None:
        """Say that it is alive, if it has said nothing for a while."""
        if time.monotonic() - self._heard > BEAT_SECONDS:
            self._ask(Beat(self._token))

    def lease(self) -> Lease:
        """Ask for work of one slot, and wait for it."""
        self._channel.write(codec.encode(0, Want(1, 1)))
        _, lease = self._receive()
        if not isinstance(lease, Lease):
            raise ProtocolError(f"the server answered Want with {lease}")
        return lease

    def report(self, lease: Lease) -> int:
        """Report all of a lease as done, and wait until that is journalled; how many tasks."""
        parts = [_part(lease.batch, start, stop) for start, stop in lease.ranges]
        answer = self._ask(Report(parts, [], []))
        if not isinstance(answer, Done):
            raise ProtocolError(f"the server answered a report with {answer}")
        return sum(part.stop - part.start for part in parts)


def _part(batch: int, start: int, stop: int) -> Part:
    count = stop - start
    seconds = array.array("f", [1e-6] * count).tobytes()
    return Part(batch, start, stop, pickle.dumps(list(range(start + 1, stop + 1)), 5), seconds)
