"""`kill -9` of each process of farm: what it had started, and what that had started, ends too."""

import signal

import pytest
from functional_farm import FarmCli, wait_until

SECONDS = 5.0
"""Within which everything is gone."""

COMMAND = (
    "command: \"trap '' TERM; sleep 1000 & sh -c 'sleep 1000 & sleep 1000' & "
    'echo > begun-{index}; wait"\n'
    "params: {count: 2}\n"
)
"""A shell that ignores SIGTERM, as what it starts then does, in the background and below."""

PYTHON = """
import pathlib, signal, subprocess, time
def hang(index):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["sleep", "1000"])
    pathlib.Path(f"begun-{index}").touch()
    time.sleep(1000)
"""
BATCHES = {"command": COMMAND, "python": "python: tasks.py:hang\nparams: {count: 2}\n"}


def batch_file(cli: FarmCli, kind: str) -> str:
    return str(cli.batch_file(BATCHES[kind], PYTHON))


def begun(cli: FarmCli) -> bool:
    """Whether both tasks are under way."""
    return len(list(cli.home.glob("begun-*"))) == 2


def helper(cli: FarmCli, role: str) -> int:
    """The server or the node of `farm run`."""
    (found,) = [pid for pid, line in cli.processes().items() if f"sys.argv[1])) {role} " in line]
    return found


@pytest.mark.parametrize("kind", BATCHES)
def test_nothing_of_a_worker_outlives_it(farm_cli: FarmCli, kind: str) -> None:
    server = farm_cli.serve()
    node = farm_cli.worker("node", processes=2)
    farm_cli.run("submit", batch_file(farm_cli, kind))
    wait_until(lambda: begun(farm_cli))
    assert len(farm_cli.processes()) >= 2 + 2 + 2  # server, node, slots, and what those started

    node.signal(signal.SIGKILL)
    node.wait()

    wait_until(lambda: farm_cli.processes().keys() == {server.pid}, SECONDS)


@pytest.mark.parametrize("kind", BATCHES)
def test_nothing_of_a_run_outlives_it(farm_cli: FarmCli, kind: str) -> None:
    run = farm_cli.start("run", batch_file(farm_cli, kind), "--processes", "2")
    wait_until(lambda: begun(farm_cli))
    assert len(farm_cli.processes()) >= 1 + 2 + 2 + 2  # itself, helpers, slots, and the rest

    run.signal(signal.SIGKILL)
    run.wait()

    assert farm_cli.wait_for_no_process(SECONDS) == {}


@pytest.mark.parametrize("role", ["server", "node"])
def test_a_run_whose_helper_is_killed_ends_with_all_the_rest(farm_cli: FarmCli, role: str) -> None:
    run = farm_cli.start("run", batch_file(farm_cli, "command"), "--processes", "2")
    wait_until(lambda: begun(farm_cli))

    farm_cli.kill(helper(farm_cli, role))
    ran = run.wait()

    assert ran.code not in (0, None)
    assert f"the local {role} has ended" in ran.err
    assert "Traceback" not in ran.err
    assert farm_cli.wait_for_no_process(SECONDS) == {}


def test_nothing_of_a_server_outlives_it_and_its_node_still_ends_when_told(
    farm_cli: FarmCli,
) -> None:
    server = farm_cli.serve()
    alone = farm_cli.processes().keys()
    node = farm_cli.worker("node", "--grace", "0.1", processes=2)
    farm_cli.run("submit", batch_file(farm_cli, "command"))
    wait_until(lambda: begun(farm_cli))
    assert alone == {server.pid}, "a server is one process"

    server.signal(signal.SIGKILL)
    server.wait()

    wait_until(lambda: "connection" in node.err)
    assert begun(farm_cli)
    assert node.pid in farm_cli.processes(), "it goes on without its server"
    node.signal(signal.SIGTERM)
    assert node.wait().code == 0
    assert farm_cli.wait_for_no_process(SECONDS) == {}
