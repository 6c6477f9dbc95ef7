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


def test_a_drained_node_takes_nothing_new_while_it_finishes(session, node, tmp_path):
    node("leaver", 1)
    batch = session.submit(tasks.began, [{"directory": str(tmp_path), "x": x} for x in range(3)])
    eventually(lambda: list(tmp_path.glob("began-*")), "it runs one")
    session.drain("leaver")
    assert session.nodes()[0].state == "draining"
    node("other", 1)
    urgent = session.submit(tasks.double, [{"x": x} for x in range(5)], priority=9)
    eventually(lambda: len(list(tmp_path.glob("began-*"))) == 2, "the other runs one")
    (tmp_path / "go").touch()
    assert batch.wait(PATIENCE).state == "done"
    assert urgent.wait(PATIENCE).state == "done"
    assert {share.node for share in urgent.status().nodes} == {"other"}
    shares = {share.node: share.done for share in batch.status().nodes}
    assert shares == {"leaver": 1, "other": 2}
    eventually(lambda: session.nodes()[-1].state == "left", "it leaves")
