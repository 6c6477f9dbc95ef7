"""The real server's state and journal in a simulated process, which can crash at any point.

Also between the journal's write and the answer: a commit may be the last thing that it does, or the
last thing that it does not.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sim.clock import Crash, Process, Time
from sim.network import Pipe

from farm.errors import ProtocolError
from farm.server.database import prepare
from farm.server.journal import Journal
from farm.server.load import Load
from farm.server.nodes import SWEEP_SECONDS
from farm.server.payloads import Payloads
from farm.server.peers import Peer
from farm.server.service import Service

PACED_REPORTS = 1.0
"""Instead of `farm.server.load.LEAST_REPORTS`: the few nodes of a world are asked for a pace."""


class Disk:
    """What outlives the server: a database in memory, and the payloads beside it."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        prepare(self.db, Path("journal"), "process")
        self.files: dict[int, bytearray] = {}
        self.full = False
        self.crash_in = 0
        """The server dies in its so many-th commit from now; 0 for never."""
        self.crash_after = False
        """Whether that commit is still written."""


class SimulatedPayloads:
    """`PayloadFiles` on a `Disk`: what was written and not kept stays behind when the server dies.

    Args:
        files: the disk's.
    """

    def __init__(self, files: dict[int, bytearray]) -> None:
        self._files = files
        self._begun: dict[int, int] = {}

    def append(self, batch: int, payloads: Sequence[bytes]) -> list[int]:
        """At the end of what is there, named or not."""
        file, places = self._files.setdefault(batch, bytearray()), []
        self._begun.setdefault(batch, len(file))
        for payload in payloads:
            places.append(len(file))
            file += payload
        return places

    def keep(self) -> None:
        """See there."""
        self._begun.clear()

    def undo(self) -> None:
        """See there."""
        for batch, begun in self._begun.items():
            del self._files[batch][begun:]
        self._begun.clear()

    def read(self, batch: int, place: int, size: int) -> bytes:
        """Never what is not there: nobody harms this disk."""
        found = self._files[batch][place : place + size]
        if len(found) < size:
            raise AssertionError(f"batch {batch} has no {size} bytes at {place}")
        return bytes(found)

    def cut(self, batch: int) -> bool:
        """At once."""
        self._files.pop(batch, None)
        return False

    def retain(self, batches: Iterable[int]) -> None:
        """See there."""
        for batch in self._files.keys() - set(batches):
            del self._files[batch]

    def is_there(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """There is nothing to let go of."""


class SimulatedJournal(Journal):
    """The journal on a `Disk`; what was not committed dies with the process."""

    large = 40  # bytes: of a few results some are, some are not

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        if disk.db.in_transaction:
            disk.db.execute("ROLLBACK")
        super().__init__(Path())

    def _open(self, directory: Path, durability: str) -> sqlite3.Connection:
        del directory, durability
        return self._disk.db

    def _open_payloads(self, directory: Path, durability: str) -> Payloads:
        del directory, durability
        return SimulatedPayloads(self._disk.files)

    def commit(self) -> None:
        """Write, unless the disk is full or the server dies of it.

        It dies, and the disk fills up, when payloads were written that no row names yet.
        """
        disk = self._disk
        if self._pending and disk.crash_in:
            disk.crash_in -= 1
            if not disk.crash_in:
                if disk.crash_after and not disk.full:
                    super().commit()
                else:
                    self._write_large()
                raise Crash
        if self._pending and disk.full:
            self._write_large()
            self._payloads.undo()
            raise sqlite3.OperationalError("database or disk is full")
        super().commit()


class Wire:
    """What a `Peer` takes for its connection."""

    closing = full = False

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.address = pipe.near.process.name

    def send_late(self, frame: bytes) -> None:
        self.send(frame)

    def send(self, frame: bytes) -> None:
        """Towards the peer."""
        self._pipe.send(self._pipe.near, frame)

    def complain(self, what: str) -> None:
        """Farm's own peers give no cause for it."""
        raise AssertionError(what)

    def hold(self) -> None:
        """Farm's own peers do not ask for so much at a time."""
        raise AssertionError(self.address)

    def close(self) -> None:
        """After what was sent."""
        self._pipe.close(self._pipe.far)


class Server:
    """One life of the server.

    Args:
        time: the world's.
        disk: what was acknowledged before.
        chance: the world's.
        gone: called when it has died.
        committed: called after each commit.
    """

    def __init__(
        self,
        time: Time,
        disk: Disk,
        chance: random.Random,
        gone: Callable[[], None],
        committed: Callable[[], None],
    ) -> None:
        self.process = Process(time, "server", chance, gone)
        self.pipes: dict[Pipe, None] = {}  # in the order of their coming
        self.reason: Exception | None = None
        self._chance = chance
        self._demand = 0.0
        loop: Any = self.process  # of a loop, only what a process has too is used
        self.service = Service(
            SimulatedJournal(disk), loop, self._give_up,
            wall=lambda: 1e9 + time.now, chance=chance.random,
            cpu=lambda: self._demand, load=Load(PACED_REPORTS),
        )  # fmt: skip
        self._watch(committed)
        self.process.call_later(SWEEP_SECONDS, self._sweep)

    def _watch(self, committed: Callable[[], None]) -> None:
        core = self.service.core
        flush = core._flush

        def watched() -> None:
            flush()
            committed()

        core._flush = watched  # type: ignore[method-assign]

    def _give_up(self, reason: Exception) -> None:
        self.reason = reason
        self.process.kill()

    def _sweep(self) -> None:
        """The server has much to do in one second and little in the next."""
        self._demand += self._chance.choice([0.0, 0.5, 1.0, 1.0]) * SWEEP_SECONDS
        self.service.sweep()
        self.process.call_later(SWEEP_SECONDS, self._sweep)

    def accept(self, pipe: Pipe) -> None:
        """A connection has come."""
        service, wire = self.service, Wire(pipe)
        connection: Any = wire
        peer = Peer(connection, service.handlers, service.core, service.desk.lost)
        self.pipes[pipe] = None

        def receive(frame: bytes) -> None:
            try:
                peer.receive(frame)
            except ProtocolError:
                wire.close()
                lost()

        def lost() -> None:
            self.pipes.pop(pipe, None)
            peer.lost()

        pipe.far.receive, pipe.far.lost = receive, lost
