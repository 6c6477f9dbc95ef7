"""Nodes come and go; servers are started again: batches go on, and nothing is counted twice."""

from __future__ import annotations

from collections import Counter

import farm_tasks as tasks
import pytest
from farm_harness import PATIENCE, NodeThread, ServerThread, eventually

from farm.client.link import Link
from farm.client.session import Session
from farm.wire.address import Address


def counted(batch) -> Counter:
    return Counter(outcome.index for outcome in batch.outcomes(PATIENCE))


def once(total: int) -> Counter:
    return Counter(range(total))


def node_names(session: Session, state: str = "up") -> list[str]:
    return sorted(node.name for node in session.nodes() if node.state == state)


def attempts_in(directory) -> set[str]:
    return {path.name.split("-")[1] for path in directory.glob("began-*")}


def test_two_nodes_both_work(session, node):
    node("a", 1)
    node("b", 1)
    batch = session.submit(tasks.short, [{"x": x} for x in range(2000)])
    assert counted(batch) == once(2000)
    shares = {share.node: share.done for share in batch.status().nodes}
    assert sum(shares.values()) == 2000
    assert min(shares["a"], shares["b"]) > 0


def test_two_nodes_of_one_name_are_told_apart(session, node):
    node("same", 1)
    node("same", 1)
    assert node_names(session) == ["same", "same-2"]


def test_the_leases_of_a_killed_node_go_to_another(
    session, node, child, server, impatient, tmp_path
):
    victim = child("node", server.port, "victim", 2)
    batch = session.submit(tasks.began, [{"directory": str(tmp_path), "x": x} for x in range(2)])
    eventually(lambda: attempts_in(tmp_path) == {"0", "1"}, "the victim runs both")
    victim.kill()
    node("heir", 2)
    eventually(lambda: len(list(tmp_path.glob("began-*"))) == 4, "the heir runs both")
    (tmp_path / "go").touch()
    assert counted(batch) == once(2)
    assert {share.node for share in batch.status().nodes} == {"heir"}
    assert node_names(session, "lost") == ["victim"]


def test_a_node_that_leaves_gives_back_at_once_what_it_did_not_begin(session, node, tmp_path):
    leaver = node("leaver", 1, grace=PATIENCE)
    batch = session.submit(tasks.began, [{"directory": str(tmp_path), "x": x} for x in range(3)])
    eventually(lambda: attempts_in(tmp_path), "it runs one")
    node("heir", 1)
    leaver.worker.stop()
    eventually(lambda: attempts_in(tmp_path) >= {"0", "1"}, "the heir has begun another")
    (tmp_path / "go").touch()
    assert counted(batch) == once(3)
    leaver.stop()
    assert node_names(session, "left") == ["leaver"]
    assert len(list(tmp_path.glob("began-*"))) == 3


def test_a_healthy_node_is_not_given_up(session, node, impatient, tmp_path):
    """It is heard of by its beats alone while its only task runs."""
    node("n1", 1)
    batch = session.submit(tasks.began, [{"directory": str(tmp_path), "x": 0}])
    eventually(lambda: attempts_in(tmp_path), "it runs")
    joined = session.nodes()[0].up
    eventually(lambda: session.nodes()[0].up > joined + 2.0, "twice the silence passes")
    (tmp_path / "go").touch()
    assert counted(batch) == once(1)
    assert node_names(session, "lost") == []


def test_a_node_that_was_given_up_comes_back_and_delivers(session, node, server, tmp_path):
    node("n1", 1)
    batch = session.submit(tasks.began, [{"directory": str(tmp_path), "x": 0}])
    eventually(lambda: attempts_in(tmp_path), "it runs")
    desk = server.server._service.desk
    server.call(lambda: [desk._give_up(known, "lost") for known in list(desk._nodes.values())])
    eventually(lambda: node_names(session) == ["n1"], "it is back")
    (tmp_path / "go").touch()
    assert counted(batch) == once(1)
    assert len(list(tmp_path.glob("began-*"))) == 1


def test_a_batch_that_was_cancelled_while_its_node_was_away_is_killed(
    session, node, server, tmp_path
):
    node("n1", 1)
    batch = session.submit(tasks.began, [{"directory": str(tmp_path), "x": 0}])
    eventually(lambda: attempts_in(tmp_path), "it runs")
    desk = server.server._service.desk

    def cancel_unheard() -> None:
        (known,) = desk._nodes.values()
        known.peer.close()
        known.peer = None
        server.server._core.cancel(batch.id)

    server.call(cancel_unheard)
    assert list(session.submit(tasks.double, [{"x": 1}]).results(PATIENCE)) == [2]


def test_a_server_that_is_started_again_goes_on_where_it_was(data, node, server, session, tmp_path):
    """Two nodes, of which the server gives ids anew: they do not take each other's."""
    for name in ("a", "b", "c"):
        node(name, 1)
    params = [{"directory": str(tmp_path), "x": x} for x in range(6)]
    batch = session.submit(tasks.began, params, name="sweep")
    eventually(lambda: len(attempts_in(tmp_path)) == 3, "all of them run")
    server.stop()
    server.start()
    eventually(lambda: node_names(session) == ["a", "b", "c"], "they are back")
    ids = {known.name: known.node for known in session.nodes()}
    (tmp_path / "go").touch()
    assert counted(batch) == once(6)
    assert list(batch.results(PATIENCE)) == list(range(6))
    assert {known.name: known.node for known in session.nodes()} == ids
    assert session.batch("sweep").status().submitted == batch.status().submitted


def test_a_waiting_client_rides_through_a_restart(server, node, session, tmp_path):
    node("n1", 2)
    params = [{"directory": str(tmp_path), "x": x} for x in range(2)]
    results = session.submit(tasks.began, params).results(PATIENCE)
    eventually(lambda: len(attempts_in(tmp_path)) == 2, "both run")
    for _ in range(2):
        server.stop()
        server.start()
    (tmp_path / "go").touch()
    assert list(results) == [0, 1]


def test_a_killed_server_loses_nothing_that_it_acknowledged(child, tmp_path):
    data, traces = tmp_path / "data", tmp_path / "traces"
    traces.mkdir()
    server = child("server", data, 0)
    node = NodeThread(Address("127.0.0.1", server.port), "n1", 2)
    try:
        with Session(Link(Address("127.0.0.1", server.port), b"0123456789abcdef" * 2)) as session:
            done = session.submit(tasks.double, [{"x": x} for x in range(500)])
            assert done.wait(PATIENCE).done == 500
            params = [{"directory": str(traces), "x": x} for x in range(4)]
            running = session.submit(tasks.began, params)
            eventually(lambda: len(attempts_in(traces)) == 2, "some run")
            server.kill()
            child("server", data, server.port)
            (traces / "go").touch()
            assert list(done.results(PATIENCE)) == [2 * x for x in range(500)]
            assert counted(done) == once(500)
            assert counted(running) == once(4)
            assert list(running.results(PATIENCE)) == [0, 1, 2, 3]
            assert len(list(traces.glob("began-*"))) == 4, "what ran on was not run again"
    finally:
        node.stop()


def test_attempts_are_still_known_after_a_restart(data, tmp_path):
    server = ServerThread(data)
    node = NodeThread(server.address, "n1", 1)
    try:
        with server.session() as session:
            batch = session.submit(tasks.fail, [{"x": 1}], retries=2)
            assert batch.wait(PATIENCE).state == "failed"
            server.stop()
            server.start()
            (outcome,) = batch.outcomes(PATIENCE)
            assert (outcome.status, outcome.attempts) == ("error", 3)
            assert batch.status().retried == 2
    finally:
        node.stop()
        server.stop()


@pytest.mark.parametrize("nodes", [["n1"], ["n1", "n2"]])
def test_nothing_waits_behind_a_long_task_while_a_slot_has_nothing_to_do(
    session, node, tmp_path, nodes
):
    """The long ones come one after the other, where all are taken to be short."""
    for name in nodes:
        node(name, 4 // len(nodes))
    gate, long = tmp_path / "gate", {200, 201, 202}
    params = [{"path": str(gate if x in long else tmp_path), "x": x} for x in range(400)]
    batch = session.submit(tasks.wait_for, params)
    eventually(lambda: batch.status().done == 400 - len(long), "all others are done")
    gate.touch()
    assert list(batch.results(PATIENCE)) == list(range(400))
    assert batch.status().repeated == 0
