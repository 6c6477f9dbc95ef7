"""Servers, nodes and clients of different Pythons, in all pairs that this machine has."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from functional_farm import BATCHES, SECONDS, FarmCli
from pythons import HERE, VERSIONS, environments, interpreters

from farm import TaskError
from farm.client.link import Link
from farm.client.session import Session
from farm.wire.address import parse

BLOCK, BLOCKS = 10_000, 20
PRIMES = 17_984
"""Below 200,000 (OEIS A000720)."""

# Beside the functions of primes.py. Who has come waits until every node has, so that none of them
# can be left out of the batch.
MEET = """
import pathlib, sys, time

def meet(index, directory, nodes):
    here = "%d.%d" % sys.version_info[:2]
    pathlib.Path(directory, here).touch()
    while len(list(pathlib.Path(directory).iterdir())) < nodes:
        time.sleep(0.01)
    return here, count(start=index * BLOCK, kind="all", size=BLOCK)
"""

PLAIN = """
import sys
from multiprocessing.managers import BaseManager

class Farm(BaseManager):
    pass

Farm.register("get_task_queue")
Farm.register("get_result_dict")
host, _, port = sys.argv[1].rpartition(":")
farm = Farm((host, int(port)), authkey=open(sys.argv[2], "rb").read().strip())
farm.connect()
tasks, results = farm.get_task_queue(), farm.get_result_dict()
ids = [tasks.put(("math:comb", (n, 2), {})) for n in range(2, 10)]
assert all(results.wait(id, 30) for id in ids)
print("%d.%d" % sys.version_info[:2], sum(results.pop(id) for id in ids))
"""


@pytest.fixture(scope="module")
def pythons() -> dict[str, str]:
    """By version, the Pythons of this machine that can run farm."""
    found = interpreters()
    if len(found) < 2:
        pytest.skip(f"there is no other Python here than {HERE}")
    return environments(found)


@pytest.fixture(scope="module")
def plain_pythons() -> dict[str, str]:
    """By version, the Pythons of this machine without anything of farm's."""
    return interpreters()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_of_each_python_serves_nodes_and_clients_of_all(
    version: str, pythons: dict[str, str], plain_pythons: dict[str, str], farm_cli: FarmCli,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if version not in pythons:
        pytest.skip(f"there is no Python {version} here")
    farm_cli.interpreter = pythons[version]
    server = farm_cli.serve()
    assert python_of(server.pid) == version
    for name, python in pythons.items():
        farm_cli.interpreter = python
        farm_cli.worker(name)

    # The client is of the next version: client and server differ, too.
    order = list(pythons)
    client = order[(order.index(version) + 1) % len(order)]
    farm_cli.interpreter = pythons[client]
    rows = run_primes(farm_cli, len(pythons))
    nodes = farm_cli.run("nodes", "--json").json["nodes"]

    assert sum(row["result"][1] for row in rows) == PRIMES
    assert {row["node"] for row in rows} == set(pythons)
    assert all(row["result"][0] == row["node"] for row in rows)
    assert {node["python"].rpartition(".")[0] for node in nodes} == set(pythons)
    for name, python in plain_pythons.items():
        assert run_plain(farm_cli, python) == f"{name} 120\n"
    with capsys.disabled():
        others = ", ".join(pythons)
        print(f"\nserver {version} with nodes {others}; client {client}; plain clients {others}")


def run_primes(farm_cli: FarmCli, nodes: int) -> list[Any]:
    """Have a batch done in which all nodes take part; its rows."""
    met = farm_cli.home / "met"
    met.mkdir()
    source = (BATCHES / "primes.py").read_text(encoding="utf-8")
    file = farm_cli.batch_file(
        "python: tasks.py:meet\n"
        f"params: {{matrix: {{index: {{range: [{BLOCKS}]}}, directory: {met}, nodes: {nodes}}}}}\n",
        source + MEET.replace("BLOCK", str(BLOCK)),
    )
    ran = farm_cli.run("submit", file, "--wait")
    assert ran.code == 0, ran.err
    rows = farm_cli.run("results", "last", "--format", "jsonl").lines
    assert [row["index"] for row in rows] == [*range(BLOCKS)]
    return rows


def run_plain(farm_cli: FarmCli, python: str) -> str:
    """Run a client that has nothing but the standard library; what it prints."""
    environment = farm_cli.environment()
    del environment["PYTHONPATH"]
    done = subprocess.run(
        [python, "-c", PLAIN, farm_cli.address, str(key_file(farm_cli))],
        env=environment, cwd=farm_cli.home, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def python_of(pid: int) -> str:
    """The version of the Python that a process runs, asked of its executable."""
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([f"/proc/{pid}/exe", "-c", script], capture_output=True, text=True)
    return done.stdout.strip()


def key_file(farm_cli: FarmCli) -> Path:
    return farm_cli.home / ".config" / "farm" / "authkey"


@pytest.mark.parametrize("version", VERSIONS)
def test_slots_start_where_the_path_of_temporary_files_is_long(
    version: str, pythons: dict[str, str], farm_cli: FarmCli, tmp_path: Path
) -> None:
    if version not in pythons:
        pytest.skip(f"there is no Python {version} here")
    long = tmp_path / ("t" * 150)
    long.mkdir()
    farm_cli.interpreter = pythons[version]
    file = farm_cli.batch_file("command: [pwd]\nparams: {count: 2}")
    ran = farm_cli.run("run", file, "--processes", "1", env={"TMPDIR": str(long)})
    assert ran.code == 0, ran.err
    assert list(long.iterdir()) == []


def test_a_function_by_value_needs_one_version_and_the_error_says_so(
    pythons: dict[str, str], farm_cli: FarmCli
) -> None:
    other = next(version for version in pythons if version != HERE)
    farm_cli.serve()
    farm_cli.interpreter = pythons[other]
    farm_cli.worker("node")
    key = key_file(farm_cli).read_bytes().strip()

    with Session(Link(parse(farm_cli.address), key)) as session:
        batch = session.submit(lambda: 1)
        with pytest.raises(TaskError) as caught:
            list(batch.results(SECONDS))

    assert f"was sent by value from Python {HERE}; this node runs {other}" in str(caught.value)
    assert "use the same version on both, or a function that the node can import" in str(
        caught.value
    )
