"""A node whose connections are lost one after the other connects ever more seldom."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from farm_harness import KEY

from farm.errors import ProtocolError
from farm.wire.address import Address
from farm.wire.greeting import LONGEST_PAUSE, USEFUL_SECONDS
from farm.worker import Worker


class World:
    """A clock that goes on while the node waits, and a server that takes every connection."""

    def __init__(self, directory, monkeypatch) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        monkeypatch.setattr("farm.worker.time", SimpleNamespace(monotonic=lambda: self.now))
        nothing = lambda *_: None  # noqa: E731
        engine = SimpleNamespace(
            slots=1, add_program=None, drop_program=None, cancel=None, take_back=None
        )
        self.worker = Worker(engine, Address("127.0.0.1", 1), KEY, name="n", directory=directory)
        self.worker._stopped = SimpleNamespace(wait=self.wait)
        self.worker._connect_main = lambda: SimpleNamespace(
            server="s", largest=1, write=nothing, close=nothing
        )
        self.worker._adopt(self.worker._connect_main())

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.now += seconds
        return False

    def lose(self, after: float) -> float:
        """The connection is lost after a while; how long the node waits before the next."""
        self.now += after
        self.worker._disconnected(ProtocolError("the journal cannot be read"))
        self.worker._connecting.join(10.0)
        self.worker._take_connection()
        return self.pauses[-1]


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


def test_the_pause_grows_with_each_that_is_lost_soon_up_to_a_bound(world):
    pauses = [world.lose(after=0.01) for _ in range(20)]
    assert pauses[0] < 1.0
    assert pauses[4] > pauses[0]
    assert all(LONGEST_PAUSE / 2 <= pause <= LONGEST_PAUSE for pause in pauses[8:])
    assert len(set(pauses[8:])) > 1, "nodes are not to come all at once"


def test_one_that_has_lasted_is_replaced_at_once(world):
    for _ in range(10):
        world.lose(after=0.01)
    assert world.lose(after=USEFUL_SECONDS + 1.0) <= 0.1
    assert world.lose(after=USEFUL_SECONDS + 1.0) <= 0.1
