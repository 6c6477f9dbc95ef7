"""`rerun: false`: a task that may have begun is never run again, whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import farm_tasks as tasks
import pytest
from farm_harness import HOST, KEY, PATIENCE, eventually

from farm.client.link import Link
from farm.client.session import Session
from farm.errors import TaskError
from farm.wire.address import Address

ONCE = {"rerun": False}
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@pytest.fixture
def traces(tmp_path):
    """Where tasks leave a trace of each attempt."""
    (tmp_path / "traces").mkdir()
    return tmp_path / "traces"


def submit(session: Session, traces: Path, total: int):
    params = [{"directory": str(traces), "x": x} for x in range(total)]
    return session.submit(tasks.began, params, options=ONCE)


def runs(traces: Path) -> Counter[int]:
    """How often each task has begun."""
    return Counter(int(path.name.split("-")[1]) for path in traces.glob("began-*"))


def ends(batch) -> dict[int, tuple[str, object, int]]:
    """Status, value and attempts of each task."""
    found = list(batch.outcomes(PATIENCE))
    assert len(found) == len({one.index for one in found}), "one outcome a task"
    return {one.index: (one.status, one.value, one.attempts) for one in found}


def done(first: int, stop: int) -> dict[int, tuple[str, object, int]]:
    return {x: ("done", x, 1) for x in range(first, stop)}


LOST = ("lost", None, 1)


def test_a_node_that_is_killed_loses_what_it_ran_which_runs_again_by_hand_alone(
    session, node, child, server, impatient, traces
):
    victim = child("node", server.port, "victim", 2)
    batch = submit(session, traces, 6)
    eventually(lambda: runs(traces).keys() == {0, 1}, "the victim runs both")
    victim.kill()
    eventually(lambda: batch.status().failed == 2, "both are lost")
    node("heir", 2)
    (traces / "go").touch()
    assert ends(batch) == {0: LOST, 1: LOST, **done(2, 6)}
    assert set(runs(traces).items()) == {(x, 1) for x in range(6)}
    status = batch.wait(PATIENCE)
    assert (status.state, status.done, status.failed) == ("failed", 4, 2)
    assert batch.retry() == 2
    assert list(batch.results(PATIENCE)) == list(range(6))
    assert {x: count for x, count in runs(traces).items() if count > 1} == {0: 2, 1: 2}


def test_a_slot_that_is_killed_ends_its_task_for_good_and_no_other(session, node, traces):
    """Its failure says how the process ended."""
    node("n1", 2)
    batch = submit(session, traces, 6)
    eventually(lambda: runs(traces).keys() == {0, 1}, "it runs two")
    (trace,) = traces.glob("began-0-*")
    os.kill(int(trace.name.split("-")[2]), signal.SIGKILL)
    eventually(lambda: batch.status().failed == 1, "its task has failed")
    (traces / "go").touch()
    assert ends(batch) == {0: LOST, **done(1, 6)}
    assert set(runs(traces).items()) == {(x, 1) for x in range(6)}
    with pytest.raises(TaskError, match=r"SIGKILL.*rerun: false"):
        batch[0]


def test_a_server_that_is_killed_gets_the_result_from_the_node_that_comes_back(
    child, tmp_path, traces
):
    """And whoever is there before that node is not given what it runs."""
    server = child("server", tmp_path / "data", 0)
    first = child("node", server.port, "first", 2)
    with Session(Link(Address(HOST, server.port), KEY)) as session:
        batch = submit(session, traces, 8)
        eventually(lambda: runs(traces).keys() == {0, 1}, "the first node runs two")
        os.kill(first.pid, signal.SIGSTOP)
        try:
            server.kill()
            child("server", tmp_path / "data", server.port)
            child("node", server.port, "second", 1)
            eventually(lambda: runs(traces).total() == 3, "the second runs another")
        finally:
            os.kill(first.pid, signal.SIGCONT)
        (traces / "go").touch()
        assert ends(batch) == done(0, 8)
        assert set(runs(traces).items()) == {(x, 1) for x in range(8)}


def test_what_ended_while_the_server_was_down_is_not_run_again(child, tmp_path, traces):
    server = child("server", tmp_path / "data", 0)
    child("node", server.port, "first", 2)
    with Session(Link(Address(HOST, server.port), KEY)) as session:
        batch = submit(session, traces, 4)
        eventually(lambda: runs(traces).keys() == {0, 1}, "it runs two")
        server.kill()
        (traces / "go").touch()
        child("server", tmp_path / "data", server.port)
        assert ends(batch) == done(0, 4)
        assert set(runs(traces).items()) == {(x, 1) for x in range(4)}


def test_a_node_that_dies_while_the_server_is_down_has_lost_what_it_ran(
    session, node, child, server, impatient, traces
):
    victim = child("node", server.port, "victim", 2)
    batch = submit(session, traces, 4)
    eventually(lambda: runs(traces).keys() == {0, 1}, "the victim runs both")
    server.stop()
    victim.kill()
    (traces / "go").touch()
    server.start()
    node("heir", 2)
    assert ends(batch) == {0: LOST, 1: LOST, **done(2, 4)}
    assert set(runs(traces).items()) == {(x, 1) for x in range(4)}


def test_a_node_that_was_given_up_and_comes_back_does_not_change_what_was_recorded(
    session, node, child, server, impatient, traces
):
    """The first outcome counts, and the failure was it."""
    victim = child("node", server.port, "victim", 1)
    batch = submit(session, traces, 1)
    eventually(lambda: runs(traces), "it runs")
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        assert ends(batch) == {0: LOST}
    finally:
        os.kill(victim.pid, signal.SIGCONT)
    (traces / "go").touch()
    eventually(lambda: [n.name for n in session.nodes() if n.state == "up"], "it is back")
    node("other", 1)
    assert list(session.submit(tasks.double, [{"x": 2}]).results(PATIENCE)) == [4]
    assert ends(batch) == {0: LOST}
    assert runs(traces) == {0: 1}
