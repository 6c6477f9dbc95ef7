"""A simulated node: the real decisions and the real dialogue, with a simulated engine."""

from __future__ import annotations

import random
from collections.abc import Callable

from sim.clock import Process, Time
from sim.engine import SimulatedEngine
from sim.network import Pipe
from sim.tasks import Plan

from farm.dialogue import Dialogue
from farm.engines import base
from farm.errors import ProtocolError
from farm.node import Node
from farm.wire import codec
from farm.wire.leases import Beat, Joined, Report
from farm.wire.messages import Done, Hello, Message, Refused

BEAT_SECONDS = 3.0
HELLO = 1 << 40
"""The number of the greeting, which no other request has."""


class Hands:
    """What the dialogue has done; batches of a simulation bring no code."""

    def __init__(self, engine: SimulatedEngine) -> None:
        self._engine = engine

    def joined(self, answer: Joined) -> None:
        pass

    def add_program(self, program: base.Program) -> None:
        self._engine.add_program(program)

    def forget_program(self, batch: int) -> None:
        self._engine.drop_program(batch)

    def kill(self, batch: int) -> None:
        self._engine.cancel(batch)

    def take_back(self, batch: int) -> None:
        self._engine.take_back(batch)


class Machine:
    """One life of a node.

    Args:
        time: the world's.
        chance: the world's.
        name: the node's; another life may have it too.
        slots: how many.
        connect: makes a connection for a process, None where nobody answers.
        plan: says how tasks behave.
        begins, ends: told of executions (with the name of this life).
        acknowledged: told of what the server has acknowledged.
        trace: told of what happens, in words.
        gone: called when it has ended.
    """

    def __init__(
        self,
        time: Time,
        chance: random.Random,
        name: str,
        slots: int,
        connect: Callable[[Process], Pipe | None],
        plan: Callable[[int], Plan],
        begins: Callable[[Machine, int, int], int],
        ends: Callable[[Machine, int, int], None],
        acknowledged: Callable[[Report], None],
        trace: Callable[[str], None],
        gone: Callable[[], None],
    ) -> None:
        self.name = name
        self._chance = chance
        self._connect = connect
        self._acknowledged = acknowledged
        self._trace = trace
        self._gone = gone
        self.process = Process(time, name, chance, self._died)
        self.engine = SimulatedEngine(
            slots, self.process, chance, plan,
            lambda batch, index: begins(self, batch, index),
            lambda batch, index: ends(self, batch, index),
            self.plan_turn,
        )  # fmt: skip
        self.node = Node(slots)
        self._token = f"{chance.getrandbits(64):x}"
        self._connections = 0
        hands = Hands(self.engine)
        self.dialogue = Dialogue(self.node, hands, name, self._token)  # type: ignore[arg-type]
        self.pipe: Pipe | None = None
        self._beats: Pipe | None = None
        self._heard = False
        self._turn_planned = False
        self._due: float | None = None  # when a turn is planned because of what is kept
        self._reports: dict[int, Report] = {}
        self.process.call_soon(self._reach, 0)
        self.process.call_later(BEAT_SECONDS, self._beat)

    # -- the main connection ------------------------------------------------------------------

    def _reach(self, attempt: int) -> None:
        pipe = self._connect(self.process)
        if pipe is None:
            wait = self._chance.uniform(0.0, min(5.0, 0.1 * 2**attempt))
            self.process.call_later(wait, self._reach, min(attempt + 1, 10))
            return
        self.pipe = pipe
        self._connections += 1
        pipe.near.receive = lambda frame: self._receive(pipe, frame)
        pipe.near.lost = lambda: self._lost(pipe)
        self._send(HELLO, Hello("sim", "sim", self._token, self._connections))
        for number, message in self.dialogue.connected():
            self._send(number, message)
        self.plan_turn()

    def _send(self, number: int, message: Message) -> None:
        assert self.pipe is not None
        if isinstance(message, Report):
            self._reports[number] = message
        self.pipe.send(self.pipe.far, codec.encode(number, message))

    def _receive(self, pipe: Pipe, frame: bytes) -> None:
        if pipe is not self.pipe:
            return  # it was left
        number, body = codec.decode_reply(frame)
        if number == HELLO:
            return
        report = self._reports.pop(number, None)
        if report is not None and isinstance(body, Done):
            self._acknowledged(report)
        if isinstance(body, Refused):
            self._trace(f"{self.name}: refused: {body.text}")
        try:
            for asked in self.dialogue.hear(number, body):
                self._send(*asked)
        except ProtocolError:
            pipe.close(pipe.near)
            self._lost(pipe)
        self.plan_turn()

    def _lost(self, pipe: Pipe) -> None:
        if pipe is self.pipe:
            self.pipe = None
            self._reports.clear()
            self.dialogue.disconnected()
            self.process.call_later(self._chance.uniform(0.0, 0.2), self._reach, 0)

    # -- the loop -----------------------------------------------------------------------------

    def plan_turn(self) -> None:
        """Something has happened."""
        if not self._turn_planned:
            self._turn_planned = True
            self.process.call_soon(self._turn)

    def _turn(self) -> None:
        """As `farm.worker.Worker`'s."""
        self._turn_planned = False
        self.node.events(self.engine.poll())
        self.node.feed(self.engine)
        if self.pipe is not None:
            for number, message in self.dialogue.say(self.engine.idle, now=self.process.time()):
                self._send(number, message)
            self._wait_for(self.dialogue.due)
            if self.node.draining and self.node.drained and not self.engine.running:
                self._trace(f"node {self.name}: leaves")
                self._send(*self.dialogue.goodbye())
                self.process.call_later(1.0, self.process.kill)

    def _wait_for(self, due: float | None) -> None:
        """What is kept is said when it is due."""
        if due is not None and due != self._due:
            self._due = due
            self.process.call_at(max(due, self.process.time()), self.plan_turn)

    # -- the heartbeat ------------------------------------------------------------------------

    def _beat(self) -> None:
        """As `farm.heartbeat.Heartbeat`: a connection that does not answer is replaced."""
        if self._beats is not None and not self._heard:
            self._beats.close(self._beats.near)
            self._beats = None
        if self._beats is None:
            self._open_beats()
        if self._beats is not None:
            self._heard = False
            self._beats.send(self._beats.far, codec.encode(1, Beat(self._token)))
        self.process.call_later(BEAT_SECONDS, self._beat)

    def _open_beats(self) -> None:
        pipe = self._beats = self._connect(self.process)
        if pipe is None:
            return

        def receive(_: bytes) -> None:
            self._heard = True

        def lost() -> None:
            if self._beats is pipe:
                self._beats = None

        pipe.near.receive, pipe.near.lost = receive, lost

    # -- the end ------------------------------------------------------------------------------

    def _died(self) -> None:
        self.engine.abandon()
        for pipe in (self.pipe, self._beats):
            if pipe is not None:
                pipe.died(pipe.near)
        self._gone()

    @property
    def pipes(self) -> list[Pipe]:
        """Its connections."""
        return [pipe for pipe in (self.pipe, self._beats) if pipe is not None]
