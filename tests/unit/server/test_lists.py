"""Lists of batches and of nodes, which come in pages."""

from __future__ import annotations

import pytest
from farm_service import World

from farm.server import clients, nodelist
from farm.wire.leases import Join, Leave
from farm.wire.messages import GetNodes, ListBatches


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(clients, "PAGE_ENTRIES", 3)
    monkeypatch.setattr(nodelist, "PAGE_NODES", 3)
    made = World(tmp_path)
    yield made
    made.kill()


def batches(world: World, limit: int, before: int = 0) -> list[int]:
    answer = world.ask(ListBatches(limit, before))
    assert answer.total == 7
    return [status.batch for status in answer.batches]


def test_batches_come_in_pages_newest_first(world):
    for _ in range(7):
        world.submit(1)
    assert batches(world, 100) == [7, 6, 5]
    assert batches(world, 100, 5) == [4, 3, 2]
    assert batches(world, 100, 2) == [1]
    assert batches(world, 100, 1) == []
    assert batches(world, 2) == [7, 6]
    assert batches(world, 2, 4) == [3, 2]
    assert batches(world, 0) == batches(world, -1) == []
    assert batches(world, 2**63 - 1, 2**63 - 1) == [7, 6, 5]
    assert batches(world, 3, -5) == [7, 6, 5]


def test_what_nodes_did_for_a_batch_counts_in_its_page(world):
    for _ in range(7):
        world.submit(4)
    for name in ("a", "b"):
        node = world.ask(Join(name, 1, [], name), world.connect(name)).node
        world.core.record_done(6, node, (node, node + 1), b"", b"", 0.0)
    assert batches(world, 100) == [7, 6]
    assert batches(world, 100, 6) == [5, 4, 3]


def test_nodes_come_in_pages_those_that_are_gone_among_them(world):
    peers = {name: world.connect(name) for name in "abcdefg"}
    for name, peer in peers.items():
        world.ask(Join(name, 1, [], name), peer)
    world.ask(Leave("b"), peers["b"])
    world.ask(Leave("g"), peers["g"])
    pages, after = [], 0
    while page := world.ask(GetNodes(after)).nodes:
        pages.append("".join(node.name for node in page))
        after = page[-1].node
    assert pages == ["abc", "def", "g"]
    assert [node.state for node in world.ask(GetNodes()).nodes] == ["up", "left", "up"]
    assert world.ask(GetNodes(-1)).nodes == world.ask(GetNodes()).nodes
