"""The directory for temporary files may have a path that is too long for sockets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from functional_farm import FarmCli

TASKS = """
import multiprocessing, os, tempfile

def f(index):
    with multiprocessing.Manager() as manager:  # has a socket of its own
        shared = manager.list([index])[0]
    return [tempfile.gettempdir(), os.environ["TMPDIR"], shared]
"""
YAML = "python: tasks.py:f\nparams: {count: 4}\n"
LOCAL = """
import farm, json, os, tempfile

def f(index):
    return [tempfile.gettempdir(), os.environ["TMPDIR"], index]

if __name__ == "__main__":
    with farm.local(processes=2) as session:
        batch = session.submit(f, params=[{"index": n} for n in range(4)])
        print(json.dumps(list(batch.results())))
"""


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A directory whose path has 150 bytes."""
    start = tmp_path / ("t" * (149 - len(bytes(tmp_path))))
    start.mkdir()
    assert len(bytes(start)) == 150
    return start


def expected(long: Path) -> list[list[object]]:
    """What the tasks see: the directory that was chosen."""
    return [[str(long), str(long), index] for index in range(4)]


def test_farm_run(farm_cli: FarmCli, long: Path) -> None:
    file, target = farm_cli.batch_file(YAML, TASKS), farm_cli.home / "o.jsonl"
    ran = farm_cli.run(
        "run", file, "--processes", "2", "--output", target, env={"TMPDIR": str(long)}
    )
    assert ran.code == 0, ran.err
    assert [row["result"] for row in farm_cli.rows(target)] == expected(long)
    assert list(long.iterdir()) == []


def test_a_server_and_a_node(farm_cli: FarmCli, long: Path) -> None:
    farm_cli.serve()
    node = farm_cli.start(
        "worker", "--name", "n", "--processes", "2", "--json", env={"TMPDIR": str(long)}
    )
    assert json.loads(node.first_line())["name"] == "n"
    assert farm_cli.run("submit", farm_cli.batch_file(YAML, TASKS), "--wait").code == 0
    rows = farm_cli.run("results", "last", "--json").lines
    assert [row["result"] for row in rows] == expected(long)


def test_a_local_farm(farm_cli: FarmCli, long: Path) -> None:
    script = farm_cli.home / "script.py"
    script.write_text(LOCAL)
    done = farm_cli.python(script, env={"TMPDIR": str(long)})
    assert json.loads(done) == expected(long)
