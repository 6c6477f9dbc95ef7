"""Large arguments and results, which lie beside the journal: a server that is killed has them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from functional_farm import FarmCli, wait_until

PYTHON = """
import pathlib, time
def large(index):
    while index >= 4 and not pathlib.Path("go").exists():
        time.sleep(0.01)
    return chr(65 + index) * 200_000
"""


@pytest.fixture
def data(farm_cli: FarmCli) -> Path:
    """A batch of eight large results, between the halves of which the server was killed."""
    directory = farm_cli.home / "data"
    server = farm_cli.serve("--data", directory)
    farm_cli.worker("node", processes=4)
    file = farm_cli.batch_file("python: tasks.py:large\nparams: {count: 8}", PYTHON)
    assert farm_cli.run("submit", file).code == 0
    wait_until(lambda: farm_cli.status()["done"] == 4)
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    (farm_cli.home / "go").touch()
    restart(farm_cli, directory)
    wait_until(lambda: farm_cli.status()["state"] == "done")
    return directory


def restart(cli: FarmCli, directory: Path) -> None:
    port = cli.address.rpartition(":")[2]
    cli.start("serve", "--port", port, "--json", "--data", directory).first_line()


def files(data: Path) -> list[Path]:
    return list(data.glob("payloads/*/*"))


def test_they_are_there_after_a_kill_and_go_with_their_batch(farm_cli: FarmCli, data: Path) -> None:
    rows = farm_cli.run("results", "last", "--json").lines
    assert [row["result"] for row in rows] == [chr(65 + index) * 200_000 for index in range(8)]
    (file,) = files(data)
    assert file.stat().st_size > 8 * 200_000
    assert farm_cli.run("forget", "1").code == 0
    wait_until(lambda: not files(data))


def test_those_that_were_lost_have_failed_and_all_else_is_there(
    farm_cli: FarmCli, data: Path
) -> None:
    (file,) = files(data)
    os.truncate(file, 3 * 200_000 + 100_000)
    rows = farm_cli.run("results", "last", "--json").lines
    assert [row["index"] for row in rows] == list(range(8))
    lost = [row for row in rows if row["status"] != "done"]
    assert {row["status"] for row in lost} == {"error"}
    assert 0 < len(lost) < 8
    assert "damaged on the server's disk" in lost[0]["error"]["message"]
    assert farm_cli.status()["done"] == 8


def test_those_that_were_lost_run_again_where_the_batch_is_exported_and_imported(
    farm_cli: FarmCli, data: Path
) -> None:
    (file,) = files(data)
    os.truncate(file, 100_000)
    assert farm_cli.run("export", "last", farm_cli.home / "out").code == 0
    assert farm_cli.run("import", farm_cli.home / "out").code == 0
    assert farm_cli.status()["failed"] == 8
    assert farm_cli.run("retry", "last").code == 0
    wait_until(lambda: farm_cli.status()["state"] == "done")
    rows = farm_cli.run("results", "last", "--json").lines
    assert [row["result"] for row in rows] == [chr(65 + index) * 200_000 for index in range(8)]
