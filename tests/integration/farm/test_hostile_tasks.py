"""Tasks that kill their process, hang, and ignore signals: each harms itself alone, and for long
enough to be told apart from the others, no longer."""

from __future__ import annotations

import os
import signal
import sys
import time

import farm_hostile as hostile
import farm_tasks as tasks
import pytest
from farm_harness import PATIENCE, eventually, marked, start_fork_server, state_of, zombies

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

TOTAL, BAD = 10_000, 4321
COMMANDS = {
    "background": "sleep 1000 & sleep 1000 & echo > {directory}/begun; wait",
    "stubborn": "trap '' TERM; sleep 1000 & echo > {directory}/begun; while :; do sleep 0.05; done",
    "stubborn below": (
        "sh -c \"trap '' TERM; sleep 1000 & echo > {directory}/begun; sleep 1000\" & sleep 1000"
    ),
}
"""What a command may leave running; each says when it is under way."""


@pytest.fixture
def mark(monkeypatch):
    """In the environment of every command that a node of this test runs."""
    start_fork_server()  # before there is a mark, which it would pass on
    text = f"hostile-{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv("FARM_TEST_HOSTILE", text)
    yield text
    for pid in marked(text):  # the test has failed
        os.kill(pid, signal.SIGKILL)


def hanging(directory, x):
    """The process of a task that hangs, and when it began; waits for it."""
    note = directory / f"hangs-{x}"
    eventually(note.exists, f"task {x} hangs")
    pid, began = note.read_text().split()
    return int(pid), float(began)


def command_file(directory, command, options=""):
    """A batch file of one such command."""
    path = directory / "command.yaml"
    text = COMMANDS[command].format(directory=directory).replace('"', '\\"')
    path.write_text(f'command: "{text}"\n{options}')
    return path


def works(session):
    """The slots run what comes next."""
    params = [{"x": x} for x in range(20)]
    return list(session.submit(tasks.double, params).results(PATIENCE)) == [*range(0, 40, 2)]


@pytest.mark.parametrize(("options", "runs"), [({}, 3), ({"crash_limit": 1}, 1)])
@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("kill", ["SIGKILL", "may have run out of memory"]),
        ("exit", ["exit code 1"]),
        ("allocate", ["memory limit of 512 MB"]),
    ],
)
def test_one_of_ten_thousand_ends_its_process(session, node, tmp_path, way, says, options, runs):
    node("n1", 2)
    if way == "allocate":
        options = {**options, "memory": "512MB"}
    params = [{"directory": str(tmp_path), "x": x, "bad": BAD, "way": way} for x in range(TOTAL)]
    batch = session.submit(hostile.die, params, options=options)
    found = {outcome.index: outcome for outcome in batch.outcomes(PATIENCE)}
    bad = found.pop(BAD)
    assert {index: one.value for index, one in found.items()} == {
        x: 3 * x + 1 for x in range(TOTAL) if x != BAD
    }
    assert (bad.status, bad.attempts) == ("crash", runs)
    for text in says:
        assert text in bad.error.message
    assert (tmp_path / "runs").read_text() == "." * runs
    status = batch.wait(PATIENCE)
    assert (status.state, status.done, status.failed) == ("failed", TOTAL - 1, 1)


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_task_that_hangs_is_killed_at_its_timeout(session, node, tmp_path, stubborn):
    node("n1", 1)
    params = [{"directory": str(tmp_path), "x": x, "stubborn": stubborn} for x in range(2)]
    batch = session.submit(hostile.hang, params, options={"timeout": "1s"})
    pid, began = hanging(tmp_path, 0)
    eventually(lambda: not state_of(pid), "its process ends, and is reaped")
    assert 1.0 <= time.monotonic() - began < 1.5
    first, second = batch.ordered(PATIENCE)
    assert (first.status, first.attempts) == ("timeout", 1)
    assert "timeout of 1 s" in first.error.message
    assert second.value == 1
    assert works(session)
    assert zombies() == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_hangs_is_killed_with_all_it_started(session, node, tmp_path, mark, command):
    node("n1", 1)
    batch = session.submit(command_file(tmp_path, command, "options: {timeout: 1s}\n"))
    eventually((tmp_path / "begun").exists, "it is under way")
    begun = time.monotonic()
    eventually(lambda: len(marked(mark)) >= 3, "a shell and what it started")
    eventually(lambda: not marked(mark), "all of it ends")
    assert time.monotonic() - begun < 1.5
    (outcome,) = batch.outcomes(PATIENCE)
    assert outcome.status == "timeout"
    assert works(session)
    assert zombies() == set()


@pytest.mark.parametrize("command", [None, "stubborn below"])
def test_nothing_outlives_a_node_that_is_killed(session, child, server, tmp_path, command):
    """Neither its slots nor what they started; `None` is a Python task that ignores SIGTERM."""
    node = child("node", server.port, "victim", 2)
    if command is None:
        params = [{"directory": str(tmp_path), "x": x, "stubborn": True} for x in range(2)]
        session.submit(hostile.hang_always, params)
        pids = {hanging(tmp_path, x)[0] for x in range(2)}
    else:
        session.submit(command_file(tmp_path, command))
        eventually((tmp_path / "begun").exists, "it is under way")
        pids = set()
    mark = os.environ["FARM_TEST_MARK"]
    assert len(marked(mark)) >= 5, "the node, what starts its slots, its slots and more"
    node.kill()
    eventually(lambda: not marked(mark) and not any(map(_runs, pids)), "all of it ends", 5.0)


def _runs(pid):
    """Whether a process is there; an orphan that the machine's first process has yet to reap is
    none."""
    return state_of(pid) not in ("", "Z", "X")


def test_cancel_kills_on_all_nodes_what_ignores_sigterm(session, node, tmp_path, mark):
    for name in ("a", "b"):
        node(name, 2)
    params = [{"directory": str(tmp_path), "x": x, "stubborn": x % 2 == 0} for x in range(8)]
    batch = session.submit(hostile.hang_always, params)
    command = session.submit(command_file(tmp_path, "stubborn below"), priority=5)
    eventually(lambda: batch.status().running == 4, "all slots are busy")
    pids = [hanging(tmp_path, x)[0] for x in range(4)]
    told = time.monotonic()
    assert batch.cancel().state == "cancelled"
    eventually(lambda: not any(map(state_of, pids)), "what runs ends")
    assert time.monotonic() - told < 2.0
    eventually((tmp_path / "begun").exists, "a slot is free again")
    told = time.monotonic()
    command.cancel()
    eventually(lambda: not marked(mark), "what the command started ends")
    assert time.monotonic() - told < 2.0
    assert works(session)
    assert len(list(tmp_path.glob("hangs-*"))) == 4, "the others have not begun"
    assert zombies() == set()


def test_a_node_that_is_told_twice_to_stop_does_not_wait_for_what_ignores_sigterm(
    session, node, tmp_path
):
    stopping = node("n1", 1, grace=PATIENCE)
    params = [{"directory": str(tmp_path), "x": 0, "stubborn": True}]
    batch = session.submit(hostile.hang_always, params)
    pid, _ = hanging(tmp_path, 0)
    told = time.monotonic()
    for _ in range(2):
        stopping.worker.stop()
    stopping.stop()
    assert time.monotonic() - told < 5.0
    assert not state_of(pid)
    assert batch.status().pending == 1
