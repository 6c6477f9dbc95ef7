"""One simulated world: a server, nodes and a client, the harm that is done to them, and its seed.

For a while the world is hostile; then all harm ends, and everything must come to an end.
"""

from __future__ import annotations

import random
from collections import Counter

from sim.checks import check_acknowledged, check_end, check_places
from sim.client import Broken, Client, Watched
from sim.clock import Process, Time
from sim.harm import Harm
from sim.machine import Machine
from sim.network import Pipe, Weather
from sim.server import Disk, Server
from sim.tasks import Plan, make_plan

from farm.wire.leases import Report

PATIENCE = 2_000.0
"""Simulated seconds after the harm within which everything has ended."""

MAX_STEPS = 2_000_000
CHECK_EVERY = 25
"""Commits between two looks at all places of all tasks."""


class World:
    """Everything that happens for one seed.

    Args:
        seed: decides on everything.

    Example:
        >>> World(7).run()
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.time = Time()
        self.lines: list[str] = []
        self.executions: Counter[tuple[int, int]] = Counter()
        self.executing: dict[tuple[int, int], int] = {}
        self.counts: Counter[str] = Counter()
        self.plans: dict[str, Plan] = {}  # by the token of the submission
        self.gave_up = False  # some node was given up while it may still have been running
        self.broken: Broken | None = None
        self._commits = 0
        rude = self.chance.random() < 0.3
        self.weather = Weather(
            self.chance.choice([0.0005, 0.005, 0.2]),
            doubled=0.02 if rude else 0.0,
            swapped=0.02 if rude else 0.0,
        )
        self.disk = Disk()
        self.server: Server | None = None
        self.machines: list[Machine] = []
        self.batches: list[Watched] = []
        self.start_server()
        names = ["a", "b", "b"][: self.chance.randint(1, 3)]  # two of one name
        for name in names:
            self.start_machine(name)
        self.client = Client(self.time, self.chance, self.connect)
        self.harm = Harm(self, until=self.chance.choice([5.0, 20.0, 60.0]))
        for number in range(self.chance.randint(1, 3)):
            plan = make_plan(self.chance)
            when = self.chance.uniform(0.0, self.harm.until / 2)
            self.time.at(when, lambda number=number, plan=plan: self._submit(number, plan))

    # -- who is there -------------------------------------------------------------------------

    def trace(self, line: str) -> None:
        """Remember what has happened, for whoever looks for the reason."""
        self.lines.append(f"{self.time.now:10.4f}  {line}")

    def start_server(self) -> None:
        """A server on what the last one has left."""
        self.server = Server(self.time, self.disk, self.chance, self._server_died, self._committed)
        self.trace("server: starts")
        check_places(self)

    def _server_died(self) -> None:
        assert self.server is not None
        self.counts["server deaths"] += 1
        self.disk.crash_in = 0
        self.trace("server: dies")
        self._remember_given_up()
        if self.server.reason is not None:
            raise Broken(f"the server gave up: {self.server.reason!r}")
        for pipe in list(self.server.pipes):
            pipe.died(pipe.far)
        self.server = None
        self.time.at(self.time.now + self.chance.uniform(0.01, 15.0), self.start_server)

    def _remember_given_up(self) -> None:
        assert self.server is not None
        gone = self.server.service.desk._gone
        self.gave_up = self.gave_up or any(node.state == "lost" for node in gone)

    def start_machine(self, name: str) -> None:
        """A node of a name; another of it may be there already."""
        machine = Machine(
            self.time, self.chance, name, self.chance.randint(1, 3), self.connect,
            self.plan_of, self._begins, self._ends, self._acknowledged,
            self.trace, self.see_to_nodes,
        )  # fmt: skip
        self.machines.append(machine)
        self.trace(f"node {name}: starts with {machine.engine.slots} slots")

    def see_to_nodes(self) -> None:
        """After the harm, there is somebody to do what is left."""
        if self.harm.over and not any(
            m.process.alive and not m.node.draining for m in self.machines
        ):
            self.start_machine("last")

    def connect(self, near: Process) -> Pipe | None:
        """A connection to the server, if there is one that answers."""
        server = self.server
        if server is None or server.process.frozen or self.chance.random() < self.harm.refusals:
            return None
        pipe = Pipe(self.time, self.chance, self.weather, near, server.process)
        server.accept(pipe)
        return pipe

    def _submit(self, number: int, plan: Plan) -> None:
        token = f"token {number}"
        self.plans[token] = plan
        self.batches.append(Watched(self.client, plan, token, self.trace))

    def plan_of(self, batch: int) -> Plan:
        """What a batch is, also before the client knows its id."""
        return self.plans[self._token_of(batch)]

    def watched(self, batch: int) -> Watched:
        """Who waits for a batch."""
        return next(known for known in self.batches if known.token == self._token_of(batch))

    def _token_of(self, batch: int) -> str:
        if self.server is not None and batch in self.server.service.core.infos:
            return self.server.service.core.infos[batch].token
        row = self.disk.db.execute("SELECT token FROM batches WHERE id = ?", (batch,))
        return str(row.fetchone()[0])

    # -- what is told of ----------------------------------------------------------------------

    def _begins(self, machine: Machine, batch: int, index: int) -> int:
        """An execution begins; which one of the task it is."""
        self.executions[batch, index] += 1
        self.executing[batch, index] = self.executing.get((batch, index), 0) + 1
        plan, watched = self.plan_of(batch), self.watched(batch)
        again = self.executions[batch, index] > 1 and not watched.taken_back
        if again and not plan.options.rerun:
            raise Broken(f"batch {batch}, task {index} runs twice, now on {machine.name}")
        limit = plan.options.max_parallel
        if limit is not None and not self.gave_up and not watched.cancelled:
            running = sum(n for (b, _), n in self.executing.items() if b == batch)
            if self.server is not None:
                self._remember_given_up()
            if running > limit and not self.gave_up:
                raise Broken(f"batch {batch}: {running} tasks run, and max_parallel is {limit}")
        return self.executions[batch, index]

    def _ends(self, machine: Machine, batch: int, index: int) -> None:
        del machine
        self.executing[batch, index] -= 1

    def _acknowledged(self, report: Report) -> None:
        if self.server is not None:
            check_acknowledged(self, report)

    def _committed(self) -> None:
        self._commits += 1
        if self._commits % CHECK_EVERY == 0:
            check_places(self)

    # -- the whole ----------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything happen.

        Raises:
            Broken: a promise was broken.
        """
        for _ in range(MAX_STEPS):
            if self.time.now > self.harm.until and self._all_over():
                break
            if self.time.now > self.harm.until + PATIENCE:
                raise Broken(f"no end {PATIENCE:.0f} s after the harm: {self._left()}")
            if not self.time.step():
                raise Broken(f"nothing happens any more: {self._left()}")
        else:
            raise Broken(f"no end after {MAX_STEPS} steps: {self._left()}")
        check_end(self)

    def _all_over(self) -> bool:
        return (
            self.server is not None
            and not self.server.process.frozen
            and not self.server.service.core.stalled
            and not self.server.service.core.journal.pending
            and bool(self.batches)
            and all(watched.over for watched in self.batches)
            and not self.harm.pending
        )

    def _left(self) -> str:
        stands = [str(watched.status or "not submitted") for watched in self.batches]
        return f"server {'up' if self.server else 'down'}; " + "; ".join(stands)
