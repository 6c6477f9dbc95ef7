"""`kill -9` of each process of farm: what it had started, and what that had started, ends too."""

import signal
from pathlib import Path

import pytest
from functional_farm import FarmCli, wait_until

SECONDS = 5.0
"""Within which everything is gone."""

STUBBORN = "trap '' TERM; sleep 1000 & sh -c 'sleep 1000 & sleep 1000' & echo > begun-{index}; wait"
"""A shell that ignores SIGTERM, as what it starts then does, in the background and below."""

MEEK = "sleep 1000 & sh -c 'sleep 1000 & sleep 1000' & echo > begun-{index}; wait"


def batch_file(cli: FarmCli, command: str) -> Path:
    return cli.batch_file(f'command: "{command}"\nparams: {{count: 2}}\n')


def begun(cli: FarmCli) -> bool:
    """Whether both tasks are under way."""
    return len(list(cli.home.glob("begun-*"))) == 2


def helper(cli: FarmCli, role: str) -> int:
    """The server or the node of `farm run`."""
    (found,) = [pid for pid, line in cli.processes().items() if f"sys.argv[1])) {role} " in line]
    return found


def test_nothing_of_a_worker_outlives_it(farm_cli: FarmCli) -> None:
    server = farm_cli.serve()
    node = farm_cli.worker("node", processes=2)
    farm_cli.run("submit", batch_file(farm_cli, STUBBORN))
    wait_until(lambda: begun(farm_cli))
    # The server, the node, the slots, and what those have started.
    wait_until(lambda: len(farm_cli.processes()) >= 2 + 2 + 8)

    node.signal(signal.SIGKILL)
    node.wait()

    wait_until(lambda: farm_cli.processes().keys() == {server.pid}, SECONDS)


def test_nothing_of_a_run_outlives_it(farm_cli: FarmCli) -> None:
    run = farm_cli.start("run", batch_file(farm_cli, STUBBORN), "--processes", "2")
    wait_until(lambda: begun(farm_cli))
    # Itself, its helpers, the slots, and what those have started.
    wait_until(lambda: len(farm_cli.processes()) >= 1 + 2 + 2 + 8)

    run.signal(signal.SIGKILL)
    run.wait()

    assert farm_cli.wait_for_no_process(SECONDS) == {}


@pytest.mark.parametrize("role", ["server", "node"])
def test_a_run_whose_helper_is_killed_ends_with_all_the_rest(farm_cli: FarmCli, role: str) -> None:
    run = farm_cli.start("run", batch_file(farm_cli, MEEK), "--processes", "2")
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
    farm_cli.run("submit", batch_file(farm_cli, MEEK))
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
