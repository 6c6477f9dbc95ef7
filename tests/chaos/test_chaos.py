"""Slots, nodes and the server are killed while a batch runs; then its tasks are counted."""

from __future__ import annotations

import os
import random
import signal
import time

import farm_tasks as tasks
from farm_harness import HOST, KEY, Child, children_of, eventually

from farm.client.link import Link
from farm.client.session import Session
from farm.wire.address import Address

SEED = 20_240
TASKS = 20_000
CHAOS_SECONDS = 8.0
END_SECONDS = 60.0


def slots_of(node: Child) -> list[int]:
    """The processes below a node that run tasks: the grandchildren, below its fork server."""
    direct = [pid for pid in children_of(node.pid) if children_of(pid)]
    return sorted(pid for parent in direct for pid in children_of(parent))


class Farm:
    """A server and two nodes as processes, of which some is killed now and then."""

    def __init__(self, start, data) -> None:
        self._start, self._data = start, data
        self.kills = {"slot": 0, "node": 0, "server": 0}
        self.server = start("server", data, 0)
        self.port = self.server.port
        self.nodes = [self._node("a"), self._node("b")]

    def _node(self, name: str) -> Child:
        return self._start("node", self.port, name, 2)

    def kill(self, what: str, chance: random.Random) -> None:
        at = chance.randrange(2)
        if what == "slot":
            slots = slots_of(self.nodes[at])
            if not slots:
                return
            os.kill(chance.choice(slots), signal.SIGKILL)
        elif what == "node":
            self.nodes[at].kill()
            self.nodes[at] = self._node("ab"[at])
        else:
            self.server.kill()
            self.server = self._start("server", self._data, self.port)
        self.kills[what] += 1


def test_every_task_is_counted_once_whatever_dies(child, tmp_path):
    chance = random.Random(SEED)
    farm = Farm(child, tmp_path / "data")
    with Session(Link(Address(HOST, farm.port), KEY)) as session:
        batch = session.submit(tasks.short, [{"x": x} for x in range(TASKS)])
        plan = ["slot", "server", "node", "slot", "server", "slot", "node", "server"]
        deadline = time.monotonic() + CHAOS_SECONDS
        for number, what in enumerate(plan, 1):
            # Each death meets a batch that has gone on since the last one.
            mark = TASKS * number // (2 * len(plan))
            eventually(
                lambda mark=mark: batch.status().done >= mark or time.monotonic() > deadline,
                f"{mark} tasks are done",
            )
            farm.kill(what, chance)
        status = batch.wait(END_SECONDS)
        assert farm.kills == {"slot": 3, "node": 2, "server": 3}
        assert (status.state, status.done, status.failed) == ("done", TASKS, 0)
        seen = [0] * TASKS
        for outcome in batch.outcomes(END_SECONDS):
            seen[outcome.index] += 1
            assert outcome.value == outcome.index
        assert seen == [1] * TASKS
        assert sum(batch.results(END_SECONDS)) == TASKS * (TASKS - 1) // 2
