"""Pause, resume and drain while nodes have tasks in hand: nothing begins that must not, nothing
runs twice."""

from __future__ import annotations

from collections import Counter

import farm_hostile as hostile
import farm_tasks as tasks
from farm_harness import PATIENCE, eventually

TOTAL = 3000


def submit(session, directory, options=None):
    """Many short tasks, of which the nodes hold several at a time."""
    params = [{"directory": str(directory), "x": x} for x in range(TOTAL)]
    return session.submit(hostile.counted, params, options=options)


def begun(directory) -> Counter[int]:
    """How often each task of `counted` has begun."""
    try:
        data = (directory / "begun").read_bytes()
    except FileNotFoundError:
        return Counter()
    return Counter(int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4))


def test_a_paused_batch_begins_nothing_and_goes_on_where_it_was(session, node, tmp_path):
    for name in ("a", "b"):
        node(name, 2)
    batch = submit(session, tmp_path)
    for least in (300, 1000):
        eventually(lambda least=least: batch.status().done > least, "it goes on")
        batch.pause()
        eventually(lambda: batch.status().running == 0, "what has begun ends")
        before = begun(tmp_path)
        # The nodes are there and work, but not for this batch.
        params = [{"x": x} for x in range(200)]
        assert len(list(session.submit(tasks.double, params).results(PATIENCE))) == 200
        assert begun(tmp_path) == before
        status = batch.status()
        assert (status.state, status.done) == ("paused", len(before))
        assert len(before) < TOTAL
        batch.resume()
    assert list(batch.results(PATIENCE)) == list(range(TOTAL))
    assert begun(tmp_path) == Counter(range(TOTAL))


def test_a_node_gives_back_what_it_has_not_begun_of_a_paused_batch(session, node, tmp_path):
    """Its lease is worth a fifth of a second; a slot has one chunk, and one more behind it."""
    slots = 4
    node("a", slots)
    params = [{"directory": str(tmp_path), "x": x, "seconds": 0.03} for x in range(400)]
    batch = session.submit(hostile.counted, params)
    eventually(lambda: batch.status().done > 60, "it knows how long they take")
    eventually(lambda: batch.status().running > 4 * slots, "it holds more than it has begun")
    batch.pause()
    before = begun(tmp_path).total()
    eventually(lambda: batch.status().running == 0, "what has begun ends")
    assert begun(tmp_path).total() - before <= 2 * slots
    assert batch.status().done == begun(tmp_path).total() < 400
    batch.cancel()


def test_a_drained_node_finishes_gives_back_and_leaves(session, node, tmp_path):
    leaver = node("leaver", 2)
    batch = submit(session, tmp_path)
    eventually(lambda: batch.status().done > 100, "it is at work")
    session.drain("leaver")
    eventually(lambda: [n.state for n in session.nodes()] == ["left"], "it leaves")
    leaver.stop()
    status = batch.status()
    assert status.running == 0
    assert status.done == len(begun(tmp_path)) < TOTAL, "all it began, it has delivered"
    node("heir", 2)
    assert list(batch.results(PATIENCE)) == list(range(TOTAL))
    assert begun(tmp_path) == Counter(range(TOTAL))
    assert {share.node for share in batch.status().nodes} == {"leaver", "heir"}


def test_a_drained_node_gives_back_at_once_and_takes_nothing_new(session, node, tmp_path):
    """It holds much that it has not begun, while its only slot runs for long."""
    node("leaver", 1)
    go = str(tmp_path / "go")
    # Quick ones first, so that the node gets the others in one lease.
    paths = ["/"] * 500 + [go] * 20
    batch = session.submit(tasks.wait_for, [{"path": path, "x": x} for x, path in enumerate(paths)])
    eventually(lambda: batch.status().done == 500, "the quick ones are done")
    eventually(lambda: batch.status().pending == 0, "the node has all others")
    session.drain("leaver")
    assert state_and_running(session)["leaver"] == ("draining", 1)
    node("other", 1)
    eventually(lambda: state_and_running(session)["other"][1] == 1, "the other has some of them")
    urgent = session.submit(tasks.double, [{"x": x} for x in range(5)], priority=9)
    (tmp_path / "go").touch()
    assert urgent.wait(PATIENCE).state == "done"
    assert list(batch.results(PATIENCE)) == list(range(520))
    assert {share.node for share in urgent.status().nodes} == {"other"}
    assert {share.node for share in batch.status().nodes} == {"leaver", "other"}
    eventually(lambda: state_and_running(session)["leaver"][0] == "left", "it leaves")


def state_and_running(session) -> dict[str, tuple[str, int]]:
    """Of each node, by its name."""
    return {node.name: (node.state, node.running) for node in session.nodes()}
