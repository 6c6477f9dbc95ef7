"""One simulated node: a real one's words and decisions, over slots that only wait.

No I/O: frames come in and go out, and time is passed in. What the server takes for a call is
measured here, where the call is made.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.simulation.slots import TimedSlots
from benchmarks.simulation.tally import Tally
from farm.dialogue import Dialogue
from farm.engines import base
from farm.node import Node
from farm.wire import codec
from farm.wire.frames import Frame
from farm.wire.leases import Joined, Lease, Report, Want
from farm.wire.messages import Done, Message


class SimulatedNode:
    """A node.

    Args:
        name: for people.
        token: the node's own.
        slots: its engine.
        tally: gives the one that counts now.
        joined: called with the server's answer when it has taken the node in.
    """

    def __init__(
        self,
        name: str,
        token: str,
        slots: TimedSlots,
        tally: Callable[[], Tally],
        joined: Callable[[Joined], None],
    ) -> None:
        self.token = token
        self.left = False
        """Whether it has said goodbye, and the server has answered."""
        self._slots = slots
        self._tally = tally
        self._node = Node(slots.slots)
        self._dialogue = Dialogue(self._node, _Hands(slots, joined), name, token)
        self._write: Callable[[bytes], None] = lambda _: None
        self._wanted: float | None = None
        self._reported: dict[int, tuple[float, int]] = {}
        self._leaving = False

    @property
    def due(self) -> float | None:
        """When it has something to do even if the server says nothing."""
        known = [when for when in (self._slots.due, self._dialogue.due) if when is not None]
        return min(known, default=None)

    def adopt(self, write: Callable[[bytes], None], now: float) -> None:
        """Its connection is there; ``write`` sends a frame."""
        self._write = write
        for number, message in self._dialogue.connected():
            self._send(number, message, now)

    def hear(self, frame: Frame, now: float) -> None:
        """The server says something; `turn` is to follow."""
        number, body = codec.decode_reply(frame)
        if isinstance(body, Lease) and self._wanted is not None:
            self._tally().leases.append(now - self._wanted)
            self._wanted = None
        elif isinstance(body, Done) and number in self._reported:
            since, tasks = self._reported.pop(number)
            self._tally().reports.append(now - since)
            self._tally().tasks += tasks
        for asked in self._dialogue.hear(number, body):
            self._send(*asked, now)
        if self._leaving and not self._dialogue.is_leaving:
            self.left = True

    def turn(self, now: float) -> None:
        """As a real node's loop: what has ended, what comes next, what there is to say."""
        if self._leaving:
            return
        self._node.events(self._slots.poll(now))
        self._node.feed(self._slots)  # type: ignore[arg-type]  # it needs no more of an engine
        for number, message in self._dialogue.say(self._slots.idle, now=now):
            self._send(number, message, now)
        if self._node.draining and self._node.drained:
            self._leaving = True
            self._send(*self._dialogue.goodbye(), now)

    def leave(self, now: float) -> None:
        """Finish what runs, at once, and go."""
        self._slots.hurry()
        self._node.drain()
        self.turn(now)

    def _send(self, number: int, message: Message, now: float) -> None:
        self._tally().calls += 1
        wants = isinstance(message, Want) or (isinstance(message, Report) and message.want)
        if wants and self._wanted is None:
            self._wanted = now
        if isinstance(message, Report):
            self._reported[number] = now, sum(part.stop - part.start for part in message.parts)
        self._write(codec.encode(number, message))


class _Hands:
    """What the dialogue has done on a machine that is not there."""

    def __init__(self, slots: TimedSlots, joined: Callable[[Joined], None]) -> None:
        self.joined = joined
        self.kill = slots.cancel
        self.take_back = slots.take_back
        self._code: set[str] = set()

    def add_program(self, program: base.Program) -> None:
        """Nothing will be run of it."""

    def forget_program(self, batch: int) -> None:
        """Nothing was kept of it."""

    def has_code(self, digest: str) -> bool:
        """Whether it was asked for."""
        return digest in self._code

    def keep_code(self, digest: str, files: dict[str, bytes]) -> None:
        """It has come, and that is all that is kept."""
        del files
        self._code.add(digest)

    def drop_code(self, digest: str) -> None:
        """It is to be asked for again."""
        self._code.discard(digest)

    def code_directory(self, digest: str) -> str:
        """Nowhere."""
        return digest
