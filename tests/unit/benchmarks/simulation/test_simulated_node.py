"""A simulated node with a real service: what it says is what a node says, and it is all counted."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path

import pytest
from farm_service import World

from benchmarks.simulation.scenarios import CODE, batch_file
from benchmarks.simulation.simulated import SimulatedNode
from benchmarks.simulation.slots import Pace, TimedSlots
from benchmarks.simulation.tally import Tally
from farm.client.submission import of_batch
from farm.wire.leases import Joined
from farm.wire.messages import GetNodes

TASKS = 50


class Life:
    """A node and the service it is connected to, both on the clock of the world."""

    def __init__(self, directory: Path, lasts: float) -> None:
        (directory / "work.py").write_text(CODE)
        self.directory = directory
        self.world = World(directory / "data")
        self.tally = Tally()
        self.joined: list[Joined] = []
        engine = TimedSlots(4, Pace(said=lasts, lasts=lasts), random.Random(1))
        self.node = SimulatedNode("node", "token", engine, lambda: self.tally, self.joined.append)
        self._inbox: deque[bytes] = deque()
        peer = self.world.connect("node")
        peer._connection.send = self._inbox.append  # type: ignore[method-assign]
        self.node.adopt(peer.receive, self.now)

    @property
    def now(self) -> float:
        return self.world.clock.time()

    def submit(self) -> int:
        submit = of_batch(batch_file(self.directory, "small", TASKS))
        return int(self.world.ask(submit).batch)

    def live(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.world.clock.pass_time(0.005)
            while self._inbox:
                self.node.hear(self._inbox.popleft(), self.now)
            self.node.turn(self.now)


@pytest.mark.parametrize("lasts", [0.0, 0.002, 0.1])
def test_every_task_is_done_once_however_long_it_lasts(tmp_path: Path, lasts: float) -> None:
    life = Life(tmp_path, lasts)
    batch = life.submit()
    life.live(5.0)
    status = life.world.status(batch)
    assert (status.state, status.done, status.repeated) == ("done", TASKS, 0)
    assert life.tally.tasks == TASKS
    assert [answer.name for answer in life.joined] == ["node"]


def test_each_lease_and_each_report_is_timed(tmp_path: Path) -> None:
    life = Life(tmp_path, 0.5)
    life.submit()
    life.live(20.0)
    assert len(life.tally.leases) > TASKS / 4
    assert len(life.tally.reports) > TASKS / 4
    # The world's clock moves in steps of 5 ms, and each call takes one of them.
    assert max(life.tally.reports) <= 0.006


def test_who_leaves_reports_what_it_had_and_is_gone(tmp_path: Path) -> None:
    life = Life(tmp_path, 1000.0)
    batch = life.submit()
    life.live(0.1)
    assert life.world.status(batch).running == 4
    life.node.leave(life.now)
    life.live(0.1)
    status = life.world.status(batch)
    assert life.node.left
    assert (status.running, status.done, status.pending) == (0, life.tally.tasks, TASKS - 4)
    assert [node.state for node in life.world.ask(GetNodes()).nodes] == ["left"]


def test_a_lease_that_comes_after_the_goodbye_is_nothing_to_it(tmp_path: Path) -> None:
    life = Life(tmp_path, 1.0)
    life.live(0.1)
    batch = life.submit()
    assert life.world.status(batch).running == 4
    life.node.leave(life.now)
    life.live(0.1)
    assert life.node.left
    assert life.world.status(batch).pending == TASKS
