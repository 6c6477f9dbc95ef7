"""Simulated connections: delays, losses, cuts that each end notices when it does, and stragglers.

What TCP promises holds within one connection: what arrives, arrives in order and once. All else may
happen: an end is lost with everything that was on its way, or with some of it; one end lives on for
a while and gets what was sent before, while the peer is on its next connection already. In *rude*
worlds, requests are also doubled and neighbours swapped within a connection; but not those that say
what a node wants, which the last one of replaces all others.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sim.clock import Process, Time

from farm.errors import ProtocolError
from farm.wire import codec
from farm.wire.leases import Report, Want

HALF_OPEN_SECONDS = 25.0
"""An end may not notice for so long that its peer is gone."""


@dataclass
class Weather:
    """How the network behaves; times in seconds, probabilities a message."""

    delay: float = 0.002
    doubled: float = 0.0
    swapped: float = 0.0


@dataclass
class End:
    """One end of a connection."""

    process: Process
    receive: Callable[[bytes], None]
    lost: Callable[[], None]
    open: bool = True
    inbox: deque[bytes] = field(default_factory=deque)
    arrives: float = 0.0  # the latest arrival so far: nothing overtakes


class Pipe:
    """A connection between a peer (``near``) and the server (``far``).

    Args:
        time: the world's.
        chance: the world's.
        weather: how it behaves.
        near: the process that connects.
        far: the server's process.
    """

    def __init__(
        self, time: Time, chance: random.Random, weather: Weather, near: Process, far: Process
    ) -> None:
        self._time = time
        self._chance = chance
        self._weather = weather
        nothing = lambda *_: None  # noqa: E731
        self.near = End(near, nothing, nothing)
        self.far = End(far, nothing, nothing)
        self._broken = False

    def send(self, to: End, frame: bytes) -> None:
        """Put a frame on its way; without effect if the connection is broken."""
        sender = self.near if to is self.far else self.far
        if self._broken or not sender.open:
            return
        to.inbox.append(frame)
        self._plan(to)
        chance, weather = self._chance, self._weather
        if to is self.far and weather.doubled and chance.random() < weather.doubled:
            to.inbox.append(frame)
            self._plan(to)
        can_be_swapped = len(to.inbox) > 1 and not any(map(_wants, list(to.inbox)[-2:]))
        if weather.swapped and can_be_swapped and chance.random() < weather.swapped:
            to.inbox[-1], to.inbox[-2] = to.inbox[-2], to.inbox[-1]

    def _plan(self, to: End) -> None:
        delay = self._chance.expovariate(1.0 / self._weather.delay)
        to.arrives = max(to.arrives, self._time.now + delay)
        when = to.arrives + to.process.time() - self._time.now
        to.process.call_at(when, self._deliver, to)

    def _deliver(self, to: End) -> None:
        if to.open and to.inbox:
            to.receive(to.inbox.popleft())

    def close(self, end: End) -> None:
        """One end closes: what it has sent still arrives, then the other end notices."""
        if not end.open:
            return
        end.open = False
        end.inbox.clear()
        other = self.near if end is self.far else self.far
        self._broken = True
        self._notice(other, max(0.0, other.arrives - self._time.now))

    def cut(self) -> None:
        """The network breaks it: of what is on its way some is lost; each end notices by itself."""
        if self._broken:
            return
        self._broken = True
        for end in (self.near, self.far):
            arriving = self._chance.randint(0, len(end.inbox))
            while len(end.inbox) > arriving:
                end.inbox.pop()
            soon = self._chance.random() < 0.7
            noticed = self._chance.uniform(0.0, 0.05 if soon else HALF_OPEN_SECONDS)
            if not soon:
                self._straggle(end, noticed)
            self._notice(end, noticed)

    def _straggle(self, end: End, noticed: float) -> None:
        """What still arrives does so late: the peer may be on another connection by then."""
        late, end.inbox = end.inbox, deque()
        times = sorted(self._chance.uniform(0.0, noticed) for _ in late)
        for when, frame in zip(times, late, strict=True):
            end.process.call_later(when, self._deliver_late, end, frame)

    def _deliver_late(self, end: End, frame: bytes) -> None:
        if end.open:
            end.receive(frame)

    def died(self, end: End) -> None:
        """The process of one end is gone: what it has sent may still arrive."""
        end.open = False
        if not self._broken:
            self._broken = True
            other = self.near if end is self.far else self.far
            arriving = self._chance.randint(0, len(other.inbox))
            while len(other.inbox) > arriving:
                other.inbox.pop()
            self._notice(other, self._chance.uniform(0.0, 0.05))

    def _notice(self, end: End, seconds: float) -> None:
        end.process.call_later(seconds, self._lost, end)

    def _lost(self, end: End) -> None:
        if end.open:
            end.open = False
            end.lost()


def _wants(frame: bytes) -> bool:
    """Whether a frame, of either direction, says what a node wants."""
    try:
        _, message = codec.decode_request(frame)
    except ProtocolError:
        return False
    return isinstance(message, Want) or (isinstance(message, Report) and message.want is not None)
