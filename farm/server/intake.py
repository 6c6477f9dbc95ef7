"""What a peer has sent and is still to be served: frames, a few at a time, and within bounds."""

from __future__ import annotations

import asyncio
from typing import Protocol

from farm.rooms import Rooms
from farm.server.budget import FREE, Budget, Holder
from farm.server.rounds import SLICE_SECONDS
from farm.wire.frames import READ_BYTES, Frame, FrameReader, Oversized

MAX_AT_ONCE = 32
"""Requests of one connection that are taken in one turn of the loop, for `SLICE_SECONDS` at most
(and one request more); then others have their turn."""

SCRATCH = memoryview(bytearray(READ_BYTES))
"""Where all connections read to: what comes is cut up before anything else is read."""


ROOMS = Rooms()
"""Likewise, of large messages."""


class Owner(Holder, Protocol):
    """The connection that they come on."""

    @property
    def closing(self) -> bool:
        """Whether nothing is served any more."""

    def serve(self, part: Frame | Oversized, now: float) -> None:
        """Serve a frame, which was taken ``now`` (the loop's time)."""

    def read_network(self, wanted: bool) -> None:
        """Read what comes, or leave it to the network to keep it."""

    def resume(self) -> None:
        """Call `Intake.take_some`."""


class Intake:
    """Frames that wait, and whether more is read.

    Args:
        owner: the connection.
        budget: what long messages need room of.
        limit: bytes of a frame, to begin with.
    """

    def __init__(self, owner: Owner, budget: Budget, limit: int) -> None:
        self.reader = FrameReader(limit, scratch=SCRATCH, rooms=ROOMS)
        self.full = False
        """Of answers that the peer has not read: it is not heard until it does."""
        self._owner = owner
        self._budget = budget
        self._held = False  # by the dialect
        self._room = 0  # bytes that a long message on its way was promised, or waits for
        self._waits = False  # for that room
        self._yields = False  # to the other connections, until the next turn of the loop
        self._reads = True  # what comes

    @property
    def kept(self) -> int:
        """Bytes in memory, but for a long message that has room of its own."""
        return 0 if self._room and not self._waits else self.reader.buffered

    def take_some(self) -> None:
        """Take the frames that have come, for as long as nothing holds them back.

        Raises:
            ProtocolError: what came is no frame, or serving it has found something wrong.
        """
        self._serve_some()
        if self.reader.buffered or self._room or not self._reads:
            self._reserve()

    def _serve_some(self) -> None:
        loop, owner = asyncio.get_running_loop(), self._owner
        now = loop.time()
        end = now + SLICE_SECONDS
        for _ in range(MAX_AT_ONCE):
            if owner.closing or self._held or self.full or self._yields:
                return
            part = self.reader.take()
            if part is None:
                return
            owner.serve(part, now)
            self.reader.recycle()
            if not self.reader.buffered:
                return
            now = loop.time()
            if now >= end:
                break
        self._yields = True
        loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._yields = False
        self.go_on()

    def _reserve(self) -> None:
        """Have room for a long message that is on its way, or do not read on."""
        claimed = self.reader.claimed
        needed = claimed if claimed > FREE else 0
        if needed != self._room:
            if self._room:
                self._budget.give_back(self._owner)
            self._room = needed
            self._waits = bool(needed) and not self._budget.take(self._owner, needed)
        self.read_on()

    def admitted(self) -> None:
        """There is room for the message now."""
        self._waits = False
        self.read_on()

    def read_on(self) -> None:
        """Read, or do not read, as things are.

        A connection whose frames the dialect holds back is read all the same, because it is by
        reading that its end is noticed.
        """
        if self._owner.closing:
            return
        too_much = self._held and self.reader.buffered > FREE
        wanted = not (self.full or self._waits or self._yields or too_much)
        if wanted != self._reads:
            self._reads = wanted
            self._owner.read_network(wanted)

    def go_on(self) -> None:
        """After what held them back: read on, and serve what is there."""
        if not self._owner.closing:
            self.read_on()
            self._owner.resume()

    def hold(self) -> None:
        """Keep further frames back until `release`."""
        self._held = True

    def release(self) -> None:
        """Go on with the frames that were held back."""
        self._held = False
        self.go_on()
