"""A process that is many nodes: one loop over all of their connections.

One loop, and no thread for each node: a real node's decisions are made by pure objects, so that a
simulated one costs its process some 100 microseconds a lease and report, less than it costs the
server, and a thousand threads would pass the interpreter to one another all the time. Threads only
open connections, because a handshake waits for the server.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import resource
import secrets
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from benchmarks.simulation.connecting import Connector
from benchmarks.simulation.simulated import SimulatedNode
from benchmarks.simulation.slots import Pace, TimedSlots
from benchmarks.simulation.tally import Tally
from farm.errors import FarmError
from farm.wire import codec
from farm.wire.address import Address
from farm.wire.channel import Channel
from farm.wire.frames import Frame
from farm.wire.leases import Beat, Joined
from farm.wire.messages import Done

LOOK_SECONDS = 0.5
"""The loop looks around at least so often."""

FLUSH_SECONDS = 0.005
"""While the network does not take something, it is tried again so often."""


@dataclass(frozen=True)
class Share:
    """The nodes of one process.

    Args:
        address: the server's.
        key: its key.
        nodes: how many.
        slots: of each.
        first: the number of the first one, in names.
    """

    address: Address
    key: bytes
    nodes: int
    slots: int
    first: int


def run(share: Share, commands: Connection) -> None:
    """Be these nodes until told to leave; what a process runs.

    Args:
        share: which.
        commands: ``("pace", Pace)``, ``("tally",)``, answered by a `Tally`, and ``("leave",)``,
            answered by the last one.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Generator(share, commands).run()


class Generator:
    """The loop; see `run`."""

    def __init__(self, share: Share, commands: Connection) -> None:
        self._share = share
        self._commands = commands
        self._pace = Pace()
        self._tally = Tally()
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._behind: set[Channel] = set()  # the network has not taken all that was written
        self._nodes: list[SimulatedNode] = []
        self._leaving = False
        self._started = 0.0
        self._connector = Connector(share.address, share.key)

    def run(self) -> None:
        """Connect all nodes at once, and be them."""
        self._selector.register(self._commands, selectors.EVENT_READ, self._command)
        self._selector.register(self._connector, selectors.EVENT_READ, self._connected)
        self._started = time.process_time()
        self._tally.began = time.monotonic()
        chance = random.Random(self._share.first)  # noqa: S311 - spreads the ends of tasks
        for number in range(self._share.first, self._share.first + self._share.nodes):
            self._add(f"simulated-{number}", TimedSlots(self._share.slots, self._pace, chance))
        while not (self._leaving and all(node.left for node in self._nodes)):
            self._turn()
        self._commands.send(self._told())
        self._connector.close()

    def _add(self, name: str, slots: TimedSlots) -> None:
        token = secrets.token_hex(8)

        def joined(answer: Joined) -> None:
            self._tally.joined += 1
            self._connector.open("", 0, lambda channel: self._beat(channel, token, answer.beat))

        node = SimulatedNode(name, token, slots, lambda: self._tally, joined)
        self._nodes.append(node)
        self._connector.open(token, 1, lambda channel: self._adopt(node, channel))

    # -- the loop -----------------------------------------------------------------------------

    def _turn(self) -> None:
        longest = FLUSH_SECONDS if self._behind else LOOK_SECONDS
        if self._timers:
            longest = min(longest, max(0.0, self._timers[0][0] - time.monotonic()))
        for key, _ in self._selector.select(longest):
            key.data()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2](now)
        behind, self._behind = self._behind, set()
        for channel in behind:
            self._write_on(channel)

    def _at(self, when: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._order), act))

    def _write(self, channel: Channel, frame: bytes) -> None:
        with contextlib.suppress(OSError):  # whoever reads from it notices, and counts it
            channel.write(frame)
            if channel.backlog:
                self._behind.add(channel)

    def _write_on(self, channel: Channel) -> None:
        with contextlib.suppress(OSError):
            if not channel.flush():
                self._behind.add(channel)

    def _command(self) -> None:
        match self._commands.recv():
            case ("pace", Pace() as pace):
                self._pace.said, self._pace.lasts = pace.said, pace.lasts
            case ("tally",):
                self._commands.send(self._told())
                self._tally = self._tally.anew()
            case ("leave",):
                self._leaving = True
                for node in self._nodes:
                    node.leave(time.monotonic())

    def _told(self) -> Tally:
        self._tally.cpu = [time.process_time() - self._started]
        return self._tally

    # -- connections --------------------------------------------------------------------------

    def _connected(self) -> None:
        for adopt, channel in self._connector.arrived():
            if isinstance(channel, FarmError):
                self._tally.lost += 1
            else:
                adopt(channel)

    def _adopt(self, node: SimulatedNode, channel: Channel) -> None:
        planned = _Planned()

        def turn(now: float) -> None:
            planned.passed(now)
            node.turn(now)
            if planned.is_news(node.due):
                self._at(planned.when, turn)

        def hear() -> None:
            for frame in self._frames(channel):
                node.hear(frame, time.monotonic())
            turn(time.monotonic())

        node.adopt(lambda frame: self._write(channel, frame), time.monotonic())
        self._selector.register(channel, selectors.EVENT_READ, hear)

    def _beat(self, channel: Channel, token: str, seconds: float) -> None:
        """A node's heartbeat has its connection, which a real one makes when it is to beat."""
        self._tally.beating += 1
        self._tally.complete = time.monotonic()

        def beat(now: float) -> None:
            if channel.fileno() >= 0:
                self._tally.calls += 1
                self._tally.beats += 1
                self._write(channel, codec.encode(1, Beat(token)))
                self._at(now + seconds, beat)

        def hear() -> None:
            for frame in self._frames(channel):
                if not isinstance(codec.decode_reply(frame)[1], Done):
                    self._tally.lost += 1  # the server has given this node up

        self._selector.register(channel, selectors.EVENT_READ, hear)
        beat(time.monotonic())

    def _frames(self, channel: Channel) -> list[Frame]:
        try:
            return channel.read()
        except (OSError, EOFError):
            self._tally.lost += 1
            self._selector.unregister(channel)
            channel.close()
            return []


class _Planned:
    """The next timer of a node: one is enough, unless an earlier one is needed."""

    def __init__(self) -> None:
        self.when = float("inf")

    def passed(self, now: float) -> None:
        """It is ``now``."""
        if self.when <= now:
            self.when = float("inf")

    def is_news(self, due: float | None) -> bool:
        """Whether a timer is to be set for ``due``."""
        if due is None or due >= self.when:
            return False
        self.when = due
        return True
