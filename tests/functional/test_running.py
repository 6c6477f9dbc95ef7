"""`farm run`: a whole farm for one batch, and nothing of it afterwards."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from functional_farm import FarmCli, wait_until

SQUARE = "def square(index):\n    return index * index\n"
TASKS = "python: tasks.py:square\nparams: {count: 30}"


def test_it_shows_what_came_of_it(farm_cli: FarmCli) -> None:
    ran = farm_cli.run("run", farm_cli.batch_file(TASKS, SQUARE), "--processes", "2")

    assert ran.code == 0
    assert "index=9" in ran.out
    assert "index=10" not in ran.out
    assert "... and 20 more" in ran.out
    assert "30 of 30 tasks done" in ran.out
    assert "30/30" in ran.err
    assert farm_cli.processes() == {}  # at once: it waited for them


def test_its_json_is_one_document(farm_cli: FarmCli) -> None:
    ran = farm_cli.run("run", farm_cli.batch_file(TASKS, SQUARE), "--json", "--processes", "1")

    assert (ran.json["state"], ran.json["done"], ran.json["failures"]) == ("done", 30, [])
    assert ran.json["nodes"][0]["done"] == 30
    assert ran.err == ""


def test_quiet_is_silent(farm_cli: FarmCli) -> None:
    ran = farm_cli.run("-q", "run", farm_cli.batch_file(TASKS, SQUARE), "--processes", "1")

    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_output_is_json_lines_in_index_order(farm_cli: FarmCli) -> None:
    target = farm_cli.home / "out.jsonl"
    target.write_text("old")

    ran = farm_cli.run(
        "run", farm_cli.batch_file(TASKS, SQUARE), "--output", target, "--processes", "2"
    )

    assert ran.code == 0
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["result"] for row in rows] == [i * i for i in range(30)]
    assert list(rows[0]) == [
        "index", "params", "status", "result", "seconds", "node", "attempts",
    ]  # fmt: skip
    assert not list(farm_cli.home.glob(".*.part"))


def test_output_is_csv_by_its_ending(farm_cli: FarmCli) -> None:
    target = farm_cli.home / "out.csv"

    farm_cli.run("run", farm_cli.batch_file(TASKS, SQUARE), "-o", target, "--processes", "1")

    lines = target.read_text().splitlines()
    assert lines[0] == "index,status,seconds,node,attempts,params.index,result,error"
    assert len(lines) == 31
    assert lines[4].split(",")[-3:] == ["3", "9", ""]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A directory for temporary files whose name is short: sockets lie in it (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="t") as directory:
        yield Path(directory)


def test_ctrl_c_leaves_nothing_behind(farm_cli: FarmCli, temporary: Path) -> None:
    python = """
import pathlib, time
def slow(index):
    pathlib.Path(f"begun-{index}").touch()
    time.sleep(600 if index else 0)
"""
    file = farm_cli.batch_file("python: tasks.py:slow\nparams: {count: 20}", python)
    run = farm_cli.start(
        "run", file, "--processes", "2", "--output", "out.jsonl", env={"TMPDIR": str(temporary)}
    )
    wait_until(lambda: (farm_cli.home / "begun-1").exists())
    wait_until(lambda: "batch: 1/20" in run.err)  # the end of the other task is known by then
    assert len(farm_cli.processes()) > 3

    run.interrupt_group()
    ran = run.wait()

    assert ran.code == 130
    assert "stopped: 1 of 20 tasks had ended" in ran.err
    assert "Traceback" not in ran.err
    assert farm_cli.processes() == {}
    assert not (farm_cli.home / "out.jsonl").exists()
    assert list(temporary.iterdir()) == []


def test_what_tasks_print_does_not_mix_with_results(farm_cli: FarmCli) -> None:
    python = "def f(index):\n    print('noise')\n    return index\n"
    file = farm_cli.batch_file("python: tasks.py:f\nparams: {count: 2}", python)

    ran = farm_cli.run("run", file, "--json", "--processes", "1")

    assert ran.json["done"] == 2


def test_no_file_is_left_in_the_temporary_directory(farm_cli: FarmCli, temporary: Path) -> None:
    farm_cli.run("run", farm_cli.batch_file(TASKS, SQUARE), env={"TMPDIR": str(temporary)})

    assert list(temporary.iterdir()) == []
    assert Path(tempfile.gettempdir()) != temporary
