"""`farm results`: every format, in index order, complete or so far, and nothing of it executed."""

import csv
import io
import re
import sys
from collections.abc import Callable

import pytest
from functional_farm import FarmCli, wait_until


@pytest.fixture(autouse=True)
def _long_numbers():
    """Numbers of any length can be read for a while, as the command line writes them."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(limit)


MIXED = """
import datetime, decimal, math, pathlib
class Point:
    def __init__(self, x):
        self.x = x
class Trap:
    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path.cwd() / "sprung",)
def f(index, label="é"):
    if index == 1:
        raise ValueError(f"bad [bold]{index}[/bold]")
    return [
        {"n": 2**70, "list": (1, 2)}, None, math.nan, b"bytes", {1: 2}, Point(3),
        decimal.Decimal("1.50"), datetime.date(2024, 2, 29), "line\\nline", Trap(), 10**5000,
    ][index]
"""
COUNT = 11


@pytest.fixture
def mixed(farm_cli: FarmCli) -> FarmCli:
    """A server whose last batch has results of every kind."""
    farm_cli.serve()
    farm_cli.worker("node")
    yaml = f"name: mixed\npython: tasks.py:f\nparams: {{count: {COUNT}}}"
    assert farm_cli.run("submit", farm_cli.batch_file(yaml, MIXED), "--wait").code == 1
    return farm_cli


def test_json_lines(mixed: FarmCli) -> None:
    ran = mixed.run("results", "last", "--format", "jsonl")

    assert ran.code == 0
    rows = ran.lines
    assert [row["index"] for row in rows] == [*range(COUNT)]
    keys = ["index", "params", "status", "result", "seconds", "node", "attempts"]
    assert list(rows[0]) == keys
    assert list(rows[1]) == [*keys, "error"]
    assert list(rows[2]) == [*keys, "repr"]
    assert rows[0]["params"] == {"index": 0}
    assert rows[0]["result"] == {"n": 2**70, "list": [1, 2]}
    assert (rows[0]["node"], rows[0]["attempts"], rows[0]["status"]) == ("node", 1, "done")
    error = rows[1]["error"]
    assert (error["kind"], error["type"]) == ("error", "ValueError")
    assert error["message"] == "bad [bold]1[/bold]"
    assert "raise ValueError" in error["traceback"]
    assert rows[1]["status"] == "error"
    assert rows[1]["result"] is None
    as_repr = {row["index"]: row["result"] for row in rows if row.get("repr")}
    assert as_repr == {
        2: "nan",
        3: "b'bytes'",
        4: "{1: 2}",
        5: "tasks.Point(x=3)",
        6: "Decimal('1.50')",
        7: "datetime.date(2024, 2, 29)",
        9: as_repr[9],
    }
    assert rows[8]["result"] == "line\nline"
    assert rows[10]["result"] == 10**5000


def test_nothing_in_a_result_is_executed(mixed: FarmCli) -> None:
    # The node's slot pickled it; only an unpickler that calls what it reads would make the file.
    (mixed.home / "sprung").unlink(missing_ok=True)

    rows = mixed.run("results", "last", "--format", "jsonl").lines

    assert not (mixed.home / "sprung").exists()
    assert "touch" in rows[9]["result"] or "getattr" in rows[9]["result"]
    assert "sprung" in rows[9]["result"]


def test_an_exception_is_not_executed_either(farm_cli: FarmCli) -> None:
    python = """
import pathlib
class Trap(Exception):
    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path.cwd() / "sprung",)
def f():
    raise Trap("careful")
"""
    farm_cli.serve()
    farm_cli.worker("node")
    farm_cli.run("submit", farm_cli.batch_file("python: tasks.py:f", python), "--wait")
    (farm_cli.home / "sprung").unlink(missing_ok=True)

    rows = farm_cli.run("results", "last", "--format", "jsonl").lines

    assert rows[0]["error"]["message"] == "careful"
    assert not (farm_cli.home / "sprung").exists()


def test_csv(mixed: FarmCli) -> None:
    ran = mixed.run("results", "mixed", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert ran.out.splitlines()[0] == (
        "index,status,seconds,node,attempts,params.index,result,error"
    )
    assert len(rows) == COUNT
    assert rows[0]["result"] == '{"n": 1180591620717411303424, "list": [1, 2]}'
    assert rows[1]["error"] == "ValueError: bad [bold]1[/bold]"
    assert rows[1]["result"] == ""
    assert rows[8]["result"] == '"line\\nline"'


def test_a_table(mixed: FarmCli) -> None:
    ran = mixed.run("results", "last")

    assert ran.code == 0
    assert "ValueError: bad [bold]1[/bold]" in ran.out
    assert "tasks.Point(x=3)" in ran.out
    lines = ran.out.splitlines()
    assert len(lines) == 2 + COUNT  # one line each, those with a line break too
    narrow = mixed.run("results", "last", env={"COLUMNS": "40"}).out.splitlines()
    assert max(map(len, narrow)) <= 40
    assert len(narrow) == len(lines)


def test_only_failures(mixed: FarmCli) -> None:
    ran = mixed.run("results", "last", "--failed", "--format", "jsonl")

    assert [row["index"] for row in ran.lines] == [1]
    assert "bad [bold]1" in mixed.run("results", "last", "--failed").out


def test_a_file(mixed: FarmCli) -> None:
    ran = mixed.run("results", "last", "--output", "all.csv")

    assert ran.out == ""
    assert "all.csv" in ran.err
    assert (mixed.home / "all.csv").read_text().startswith("index,status")
    wrong = mixed.run("results", "last", "--output", "t", "--format", "table")
    assert wrong.code == 2
    assert not (mixed.home / "t").exists()


def test_a_pipe_that_closes_early_is_no_error(mixed: FarmCli) -> None:
    results = mixed.start("results", "last", "--format", "jsonl")
    assert results.process.stdout is not None
    results.process.stdout.close()

    wait_until(lambda: results.process.poll() is not None)
    assert results.err == ""
    assert results.process.returncode == 141


def _gated(cli: FarmCli) -> Callable[[], None]:
    """A batch whose first task does not end until the gate is opened."""
    python = """
import pathlib, time
def f(index):
    while index == 0 and not pathlib.Path("gate").exists():
        time.sleep(0.01)
    return index
"""
    cli.serve()
    cli.worker("node", processes=2)
    file = cli.batch_file("python: tasks.py:f\nparams: {count: 6}", python)
    cli.run("submit", file)
    return (cli.home / "gate").touch


def test_a_batch_that_runs_shows_what_there_is(farm_cli: FarmCli) -> None:
    open_gate = _gated(farm_cli)
    wait_until(lambda: farm_cli.status()["done"])

    so_far = farm_cli.run("results", "last", "--format", "jsonl")
    waiting = farm_cli.start("results", "last", "--format", "jsonl", "--wait")
    open_gate()

    indices = [row["index"] for row in so_far.lines]
    assert 1 in indices
    assert 0 not in indices
    assert indices == sorted(indices)
    assert [row["index"] for row in waiting.wait().lines] == [*range(6)]


def test_results_that_are_not_there_yet(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    file = farm_cli.batch_file('command: ["true"]')
    farm_cli.run("submit", file)

    ran = farm_cli.run("results", "last")

    assert (ran.code, ran.out) == (0, "")
    assert "none" in ran.err


def test_many_results_come_in_pages(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.worker("node", processes=2)
    python = "def f(index):\n    if index % 1000 == 999:\n        raise KeyError(index)\n"
    file = farm_cli.batch_file("python: tasks.py:f\nparams: {count: 20000}", python)
    farm_cli.run("submit", file, "--wait")

    every = farm_cli.run("results", "last", "--format", "jsonl").lines
    failed = farm_cli.run("results", "last", "--format", "jsonl", "--failed").lines
    table = farm_cli.run("results", "last")

    assert [row["index"] for row in every] == [*range(20000)]
    assert [row["index"] for row in failed] == [*range(999, 20000, 1000)]
    assert "first 1,000" in table.err
    assert re.search(r"^ *999 ", table.out, re.MULTILINE)
