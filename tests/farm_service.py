"""A server without sockets and without waiting: a clock moved by hand, peers that are lists.

What is asked goes through the real `farm.server.service.Service` with a real journal.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farm.batch import spec as specs
from farm.batch.spec import Options
from farm.limits import DEFAULTS, Limits
from farm.server.journal import Journal
from farm.server.nodes import SWEEP_SECONDS
from farm.server.peers import Peer
from farm.server.service import Service
from farm.wire import codec
from farm.wire.leases import Failed, Held, Join, Joined, Lease, Part, Report, Want
from farm.wire.messages import Failure, GetStatus, Message, Refused, Status, Submit, Submitted

EPOCH = 1_700_000_000.0
SPEC = specs.encode(specs.Spec("b", specs.QueueCall()))


class Clock:
    """The part of an event loop that `Service` uses; time passes by `pass_time` alone."""

    def __init__(self) -> None:
        self._now = 1000.0
        self.offset = 0.0  # what somebody has set the wall's clock to
        self._soon: list[Callable[[], Any]] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = itertools.count()
        self._real = asyncio.new_event_loop()  # handles want a loop; it never runs
        self._real.close()

    def time(self) -> float:
        return self._now

    def wall(self) -> float:
        return EPOCH + self._now + self.offset

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> None:
        del context
        self._soon.append(lambda: callback(*args))

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self)  # type: ignore[arg-type]
        heapq.heappush(self._timers, (when, next(self._number), handle))
        return handle

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled ones are passed over."""

    def turn(self) -> None:
        """Do what is planned for now."""
        while self._soon:
            due, self._soon = self._soon, []
            for callback in due:
                callback()

    def pass_time(self, seconds: float) -> None:
        """Time passes, and what is due in it is done at its time."""
        until = self._now + seconds
        self.turn()
        while self._timers and self._timers[0][0] <= until:
            when, _, handle = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            if not handle.cancelled():
                handle._callback(*handle._args)
            self.turn()
        self._now = until
        self.turn()


class Line:
    """The connection of a peer: what was sent is in ``sent``, unasked messages in ``pushed``."""

    closing = full = False

    def __init__(self, name: str) -> None:
        self.address = name
        self.sent: dict[int, Message] = {}
        self.pushed: list[Message] = []
        self.complaints: list[str] = []
        self.closed = self.held = False

    def complain(self, what: str) -> None:
        self.complaints.append(what)

    def send_late(self, frame: bytes) -> None:
        self.send(frame)

    def send(self, *pieces: bytes) -> None:
        number, body = codec.decode_reply(b"".join(pieces))
        if number:
            assert number not in self.sent, "answered twice"
            self.sent[number] = body
        elif not self.closed:
            self.pushed.append(body)

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False

    def close(self) -> None:
        self.closed = True


class World:
    """A service on a data directory; `restart` ends it as by `kill -9` and starts the next."""

    def __init__(self, data: Path, keep: float | None = None, limits: Limits = DEFAULTS) -> None:
        self.clock = Clock()
        self._data, self._keep, self._limits = data, keep, limits
        self._numbers = itertools.count(1)
        self.given_up: list[Exception] = []
        self.start()

    def start(self) -> None:
        """Open the journal, and become what it says."""
        self.clock._soon.clear()
        self.clock._timers.clear()
        self.service = Service(
            Journal(self._data), self.clock, self.given_up.append,  # type: ignore[arg-type]
            keep=self._keep, limits=self._limits, wall=self.clock.wall, chance=lambda: 0.5,
        )  # fmt: skip
        self.core, self.desk = self.service.core, self.service.desk
        self.ledger, self.journal = self.core.ledger, self.core.journal
        self.peer = self.connect("client")
        self._sweep()

    def _sweep(self) -> None:
        self.service.sweep()
        self.clock.call_later(SWEEP_SECONDS, self._sweep)

    def live(self, seconds: float) -> None:
        """Time passes in which all nodes that are connected are heard."""
        while seconds > 0:
            self.clock.pass_time(min(5.0, seconds))
            seconds -= 5.0
            for node in self.desk._nodes.values():
                if node.peer is not None:
                    self.ledger.heartbeat(node.id, self.clock.time())

    def kill(self) -> None:
        """What was not committed is lost."""
        self.journal.abandon()

    def restart(self, *, away: float = 0.0) -> None:
        """End at once, and come back after a while."""
        self.kill()
        self.clock._now += away
        self.start()

    def connect(self, name: str) -> Peer:
        """A new connection."""
        return Peer(
            Line(name), self.service.handlers, self.core, self.desk.lost,  # type: ignore[arg-type]
            who=name,
        )  # fmt: skip

    def send(self, peer: Peer, request: Message) -> int:
        """Ask something; the request's number."""
        number = next(self._numbers)
        peer.receive(codec.encode(number, request))
        return number

    def ask(self, request: Message, peer: Peer | None = None) -> Any:
        """Ask something, and have the answer of the same turn."""
        peer = peer or self.peer
        number = self.send(peer, request)
        self.clock.turn()
        return peer._connection.sent.pop(number)  # type: ignore[attr-defined]

    def refused(self, request: Message) -> str:
        """The code of the refusal that a request gets."""
        answer = self.ask(request)
        assert isinstance(answer, Refused), answer
        return answer.code

    def submit(
        self, total: int, *, name: str = "", open: bool = False, paused: bool = False,  # noqa: A002
        **options: Any,
    ) -> int:  # fmt: skip
        """A new batch; its id."""
        token = f"t{next(self._numbers)}"
        answer = self.ask(
            Submit(token, name or token, total, Options(**options), SPEC, open=open, paused=paused)
        )
        assert isinstance(answer, Submitted), answer
        return answer.batch

    def status(self, batch: int) -> Status:
        """How a batch stands."""
        found: Status = self.ask(GetStatus(str(batch)))
        return found

    def fill_disk(self) -> None:
        """There is room for nothing more."""
        pages = self.journal._db.execute("PRAGMA page_count").fetchone()[0]
        self.journal._db.execute(f"PRAGMA max_page_count = {pages}")

    def make_room(self) -> None:
        """There is again."""
        self.journal._db.execute("PRAGMA max_page_count = 1000000")


_MARKS = itertools.count(1)


class Hand:
    """A node whose every step is made by the test."""

    def __init__(self, world: World, name: str, slots: int = 2, token: str = "") -> None:
        self.world, self.name, self.slots = world, name, slots
        self.token = token or f"token of {name}"
        self.join()

    def join(self, held: list[Held] | None = None) -> Joined:
        """On a connection of its own."""
        self.peer = self.world.connect(self.name)
        request = Join(self.name, self.slots, held or [], self.token)
        self.joined: Joined = self.world.ask(request, self.peer)
        return self.joined

    @property
    def pushed(self) -> list[Message]:
        """What it was told unasked."""
        found: list[Message] = self.peer._connection.pushed  # type: ignore[attr-defined]
        return found

    def want(self, free: int = 0, idle: int | None = None) -> list[tuple[int, list[Any]]]:
        """Ask for work; the leases that come at once."""
        before = len(self.leases)
        free = free or self.slots
        self.world.send(self.peer, Want(free, free if idle is None else idle))
        self.world.clock.turn()
        return self.leases[before:]

    @property
    def leases(self) -> list[tuple[int, list[Any]]]:
        """All it was ever given."""
        return [(told.batch, told.ranges) for told in self.pushed if isinstance(told, Lease)]

    def report(
        self,
        batch: int,
        *,
        done: list[tuple[int, int]] | None = None,
        failed: list[int] | None = None,
        kind: str = "error",
        returned: list[tuple[int, int]] | None = None,
    ) -> Message:
        """Say what came of some tasks."""
        parts = [Part(batch, a, b, b"payload", b"\0\0\0\0" * (b - a)) for a, b in done or []]
        wrong = Failure(kind, "E", "it went wrong", "")
        failures = [Failed(batch, index, 0.25, wrong, next(_MARKS)) for index in failed or []]
        back = [Held(batch, returned)] if returned else []
        answer: Message = self.world.ask(Report(parts, failures, back), self.peer)
        return answer

    def go(self) -> None:
        """The connection is lost."""
        self.peer.lost()
