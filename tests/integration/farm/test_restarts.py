"""A server that is killed and started again on its data: nodes and clients just go on."""

from __future__ import annotations

import re
import threading
from collections import Counter
from pathlib import Path

import farm_tasks as tasks
import pytest
from farm_harness import HOST, KEY, PATIENCE, Child, eventually

from farm.client.link import Link
from farm.client.session import Session
from farm.shelf import MEMORY_BYTES
from farm.wire.address import Address

MIB = 1024 * 1024


class Farm:
    """A server as a process, which can be killed and started again, and a session with it."""

    def __init__(self, start, data: Path) -> None:
        self._start, self._data = start, data
        self.server: Child = start("server", data, 0)
        self.port = self.server.port
        self.session = Session(Link(Address(HOST, self.port), KEY))

    def kill(self) -> None:
        self.server.kill()

    def restart(self) -> None:
        self.server = self._start("server", self._data, self.port)

    def node(self, name: str = "n1", slots: int = 2) -> Child:
        return self._start("node", self.port, name, slots)

    def nodes(self, state: str = "up") -> dict[str, int]:
        return {node.name: node.node for node in self.session.nodes() if node.state == state}


@pytest.fixture
def farm(child, tmp_path):
    made = Farm(child, tmp_path / "data")
    with made.session:
        yield made


@pytest.fixture
def traces(tmp_path):
    """Where tasks leave a trace of each attempt."""
    (tmp_path / "traces").mkdir()
    return tmp_path / "traces"


def began(traces: Path) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in traces.glob("began-*"))


def test_what_was_finished_while_the_server_was_away_is_delivered_and_not_run_again(farm, traces):
    farm.node("n1", 2)
    batch = farm.session.submit(tasks.began, [{"directory": str(traces), "x": x} for x in range(6)])
    eventually(lambda: len(began(traces)) == 2, "it runs two")
    ids = farm.nodes()
    farm.kill()
    (traces / "go").touch()
    farm.restart()
    assert list(batch.results(PATIENCE)) == list(range(6))
    assert began(traces) == list(range(6)), "each task has run once"
    assert farm.nodes() == ids
    assert {share.node: share.done for share in batch.status().nodes} == {"n1": 6}


def test_of_several_nodes_each_delivers_and_nothing_counts_twice(farm, traces):
    """Whoever is back first may be given what another still runs; one outcome counts."""
    for name in ("a", "b"):
        farm.node(name, 1)
    batch = farm.session.submit(tasks.began, [{"directory": str(traces), "x": x} for x in range(6)])
    eventually(lambda: len(began(traces)) == 2, "both run one")
    farm.kill()
    (traces / "go").touch()
    farm.restart()
    assert Counter(o.index for o in batch.outcomes(PATIENCE)) == Counter(range(6))
    eventually(lambda: farm.nodes().keys() == {"a", "b"}, "both are back")
    assert set(began(traces)) == set(range(6))
    status = batch.wait(PATIENCE)
    assert sum(share.done for share in status.nodes) == status.done == 6


def test_a_server_that_is_killed_again_and_again(farm, traces):
    farm.node()
    batch = farm.session.submit(tasks.short, [{"x": x} for x in range(6000)])
    for share in (500, 2000, 4000):
        eventually(lambda share=share: batch.status().done >= share, "it goes on")
        farm.kill()
        farm.restart()
    assert Counter(o.index for o in batch.outcomes(PATIENCE)) == Counter(range(6000))
    status = batch.wait(PATIENCE)
    assert (status.state, status.done, status.failed) == ("done", 6000, 0)
    assert sum(share.done for share in status.nodes) == 6000


def test_whoever_waits_rides_through(farm, traces):
    farm.node()
    batch = farm.session.submit(tasks.began, [{"directory": str(traces), "x": x} for x in range(2)])
    eventually(lambda: len(began(traces)) == 2, "both run")
    found: dict[str, object] = {}
    waiting = [
        threading.Thread(target=lambda: found.update(state=batch.wait(PATIENCE).state)),
        threading.Thread(
            target=lambda: found.update(all=sorted(o.index for o in batch.outcomes(PATIENCE)))
        ),
        threading.Thread(target=lambda: found.update(results=list(batch.results(PATIENCE)))),
    ]
    for thread in waiting:
        thread.start()
    for _ in range(2):
        farm.kill()
        farm.restart()
    (traces / "go").touch()
    for thread in waiting:
        thread.join(PATIENCE)
    assert found == {"state": "done", "all": [0, 1], "results": [0, 1]}


def test_two_nodes_of_one_name_stay_two(farm):
    for _ in range(2):
        farm.node("same", 1)
    before = farm.nodes()
    assert before.keys() == {"same", "same-2"}
    assert len(set(before.values())) == 2
    farm.kill()
    farm.restart()
    eventually(lambda: len(farm.nodes()) == 2, "both are back")
    after = farm.nodes()
    assert after.keys() == before.keys()
    assert len(set(after.values())) == 2


def memory_of(pid: int, what: str) -> int:
    """Bytes, by the name that proc(5) has for it."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def spooled(pid: int) -> int:
    """Bytes in the files without a name that a node has open in its directory."""
    return sum(size_if_spooled(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())


def size_if_spooled(fd: Path) -> int:
    """Bytes of the file behind an open descriptor; none for a socket that is closed by now."""
    try:
        return fd.stat().st_size if "/farm-test-" in str(fd.readlink()) else 0
    except FileNotFoundError:  # the node dials meanwhile: what it tried with comes and goes
        return 0


def test_results_that_do_not_fit_memory_wait_on_the_disk(farm, tmp_path):
    """More than 64 MiB of them while the server is away; the node's memory stays bounded."""
    count, go = 150, tmp_path / "go"
    node = farm.node()
    # Quick ones first, so that the node gets the others in one lease.
    quick = [{"path": "/", "size": 1, "x": x} for x in range(500)]
    large = [{"path": str(go), "size": MIB, "x": x} for x in range(500, 500 + count)]
    batch = farm.session.submit(tasks.big_after, quick + large)
    eventually(lambda: batch.status().done == 500, "the quick ones are done")
    held = batch.status().running
    assert held * MIB > MEMORY_BYTES + 76 * MIB, f"the node has only {held} of the large ones"
    before = memory_of(node.pid, "VmHWM")
    farm.kill()
    go.touch()
    more = held * MIB - MEMORY_BYTES
    eventually(lambda: spooled(node.pid) >= more, "what is too much lies on the disk")
    assert memory_of(node.pid, "VmRSS") - before < MEMORY_BYTES + 40 * MIB
    farm.restart()
    seen = 0
    for outcome in batch.outcomes(PATIENCE):
        size = 1 if outcome.index < 500 else MIB
        assert outcome.value == bytes([outcome.index % 256]) * size
        seen += 1
    assert seen == 500 + count
    assert memory_of(node.pid, "VmHWM") - before < MEMORY_BYTES + 64 * MIB
    eventually(lambda: spooled(node.pid) == 0, "the disk is given back")
