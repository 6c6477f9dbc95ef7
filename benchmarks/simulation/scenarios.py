"""What is measured: nodes that join, that are idle, and that work, in life and flat out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import farm
from benchmarks.simulation.crowd import Crowd
from benchmarks.simulation.figures import Figures, Moment, figures
from benchmarks.simulation.server import Server, Usage
from benchmarks.simulation.tally import Tally
from farm.batch.loader import Batch as BatchFile
from farm.client.session import Session
from farm.client.submission import load_file
from farm.server.nodes import BEAT_SECONDS

FLAT_SECONDS = 0.001
"""That a task lasts flat out: no slot gives anything back sooner, and all at different times."""

TASKS = 1_000_000_000
"""In the one batch of work: more than are ever done."""

FLAT_SETTLE_SECONDS = 1.0
"""After a change of pace, before what is measured."""

SINGLES = 500
"""Tasks that begin in a second where each is a lease and a report of its own: few enough for the
server to hear of each at once."""

PACE_SETTLE_SECONDS = 15.0
"""At work as in life, before what is measured: by then a server that has much to do has found the
pace that it asks of its nodes (see `farm.server.load`)."""

SETTLE_TASKS = 1.5
"""In lengths of a task: the longest one of the pace before has ended, and the ends are spread."""

QUEUED_NODES = 100
QUEUED_TASKS = 10
"""Nodes for very many batches that wait at once, and tasks in each of these."""

QUEUED_P99 = 20.0
"""Milliseconds from `Want` to `Lease` that these nodes wait at most, but for one in a hundred."""

CODE = "def task(index):\n    return index % 100\n"
BATCH = "name: {name}\npython: work.py:task\nparams: {{count: {tasks}}}\n"


@dataclass(frozen=True)
class Options:
    """What a run may be told.

    Args:
        seconds: that each phase is measured for.
        task_seconds: that a task takes in life.
        slots: of each node.
        processes: that the nodes are shared by.
        batches: that wait at once, for `queued`.
    """

    seconds: float = 5.0
    task_seconds: float = 1.0
    slots: int = 4
    processes: int = 1
    batches: int = 10_000


@dataclass(frozen=True)
class Account:
    """Whether every task has one outcome, by the server's word and by the nodes'.

    Args:
        total: tasks that were submitted.
        done: of them, as the server says.
        acknowledged: of them, as the nodes were told.
        pending: not given to anybody.
        repeated: answers that the server had already.
    """

    total: int
    done: int
    acknowledged: int
    pending: int
    repeated: int

    def __str__(self) -> str:
        return (
            f"{self.done:,} tasks done, {self.acknowledged:,} acknowledged, {self.pending:,} of "
            f"{self.total:,} left, {self.repeated:,} twice"
        )

    @property
    def holds(self) -> bool:
        """Whether none is missing, and none counted twice."""
        whole = self.done + self.pending == self.total
        return whole and self.done == self.acknowledged and not self.repeated


class Stage:
    """A server and its nodes, and what is measured of them.

    Args:
        server: with nobody but these nodes.
        crowd: they.
        options: see there.
        before: what the server had used before the nodes came.
    """

    def __init__(self, server: Server, crowd: Crowd, options: Options, before: Usage) -> None:
        self.crowd = crowd
        self.acknowledged = 0
        """Tasks, as the nodes were told."""
        self._server = server
        self._options = options
        self._before = before

    def join(self) -> Figures:
        """All nodes come at once."""
        seconds = self.crowd.joined()
        seen = self.crowd.tally()
        began = Moment(self._before, [0.0] * len(seen.cpu))
        return self._figures("join", began, seen, seconds=seconds)

    def idle(self) -> Figures:
        """Nothing but heartbeats, of each node as many as of any other."""
        beats = max(1, round(self._options.seconds / BEAT_SECONDS))
        return self._measure("idle", beats * BEAT_SECONDS)

    def _measure(self, phase: str, seconds: float, lasts: float = 0.0) -> Figures:
        """The next seconds, as things are; what was seen before counts in no figures."""
        unseen = self.crowd.tally()
        self.acknowledged += unseen.tasks
        began = Moment(self._server.usage(), unseen.cpu)
        time.sleep(seconds)
        seen = self.crowd.tally()
        self.acknowledged += seen.tasks
        return self._figures(phase, began, seen, lasts=lasts)

    def work(self, phase: str, lasts: float, before: float) -> Figures:
        """Tasks that last so long, once those of the pace ``before`` have ended."""
        self.crowd.pace(self._options.task_seconds, lasts)
        time.sleep(max(FLAT_SETTLE_SECONDS, SETTLE_TASKS * max(before, lasts)))
        return self._measure(phase, self._options.seconds, lasts)

    def leave(self, session: Session, batch: int) -> Account:
        """All nodes go; how the batch stands then."""
        self.acknowledged += self.crowd.leave().tasks
        status = session.status(batch)
        return Account(
            status.total, status.done, self.acknowledged, status.pending, status.repeated
        )  # fmt: skip

    def _figures(self, phase: str, began: Moment, seen: Tally, **details: float) -> Figures:
        ended = Moment(self._server.usage(), seen.cpu)
        return figures(
            (self.crowd.nodes, self.crowd.slots), phase, began, ended, seen,
            before=self._before.memory, **details,
        )  # fmt: skip


@contextmanager
def staged(nodes: int, options: Options) -> Iterator[tuple[Stage, Session, Path]]:
    """A server with so many nodes on their way to it, a client's session, and a directory."""
    with tempfile.TemporaryDirectory(prefix="farm-simulate-") as name:
        directory = Path(name)
        (directory / "work.py").write_text(CODE)
        with Server(directory, nodes) as server:
            shared = {"slots": options.slots, "processes": options.processes}
            before = server.usage()
            with (
                farm.connect(str(server.address), server.key) as session,
                Crowd(server.address, server.key, nodes=nodes, **shared) as crowd,
            ):
                yield Stage(server, crowd, options, before), session, directory


def batch_file(directory: Path, name: str, tasks: int) -> BatchFile:
    """A batch of tasks that are only counted."""
    path = directory / f"{name}.yaml"
    path.write_text(BATCH.format(name=name, tasks=tasks))
    return load_file(path)


def rising(nodes: int, options: Options) -> Iterator[Figures | Account]:
    """So many nodes: they join, are idle, work on few tasks and as in life, flat out, and so that
    half as many tasks begin."""
    with staged(nodes, options) as (stage, session, directory):
        yield stage.join()
        yield stage.idle()
        batch = session.submit(batch_file(directory, "work", TASKS)).id
        lasts, single = options.task_seconds, nodes * options.slots / SINGLES
        yield stage.work("single", single, 0.0)
        yield stage.work("life", lasts, max(single, PACE_SETTLE_SECONDS / SETTLE_TASKS))
        flat = stage.work("flat", FLAT_SECONDS, lasts)
        yield flat
        half = nodes * options.slots / (flat.tasks / 2)
        yield stage.work("half", half, 0.0)
        yield stage.leave(session, batch)


def queued(options: Options) -> Iterator[Figures]:
    """Very many small batches wait, and a hundred nodes take from all of them in turn."""
    with staged(QUEUED_NODES, options) as (stage, session, directory):
        stage.join()
        stage.crowd.pace(options.task_seconds, options.task_seconds)
        small = batch_file(directory, "small", QUEUED_TASKS)
        for _ in range(options.batches):
            session.submit(small)
        yield stage.work("queued", options.task_seconds, options.task_seconds)
        stage.crowd.leave()
