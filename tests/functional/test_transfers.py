"""Batches that move from one server to another as plain files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from functional_farm import FarmCli, wait_until

MIXED = """
import pathlib
def mixed(index):
    if index == 3:
        raise ValueError("three is wrong")
    if index == 4 and not pathlib.Path("tried").exists():
        pathlib.Path("tried").touch()
        raise OSError("once")
    return {"square": index ** 2, "path": pathlib.PurePosixPath("a") / str(index)}
"""
YAML = "name: mixed\npython: tasks.py:mixed\nparams: {count: 7}\noptions: {retries: 1}"
HALF = """
import pathlib, time
def half(index):
    while index >= 5 and not pathlib.Path("go").exists():
        time.sleep(0.01)
    return index
"""


def jsonl(cli: FarmCli, batch: str) -> str:
    """The results of a batch as `farm results` prints them."""
    return cli.run("results", batch, "--format", "jsonl").out


def two_servers(cli: FarmCli) -> tuple[str, str]:
    """Their addresses; the first is the one that commands find."""
    cli.serve("--data", cli.home / "one")
    first = cli.address
    cli.serve("--data", cli.home / "two")
    second, cli.address = cli.address, first
    return first, second


@pytest.fixture
def exported(farm_cli: FarmCli) -> Path:
    """A batch of `MIXED` that has ended, exported; commands find the other server then."""
    _, second = two_servers(farm_cli)
    farm_cli.worker("node")
    assert farm_cli.run("submit", farm_cli.batch_file(YAML, MIXED), "--wait").code == 1
    target = farm_cli.home / "out"
    ran = farm_cli.run("export", "last", target)
    assert (ran.code, ran.err) == (0, "")
    assert "with the outcomes of 7 of 7 tasks" in ran.out
    (farm_cli.home / "expected").write_text(jsonl(farm_cli, "1"))
    farm_cli.address = second
    return target


def test_a_batch_that_has_ended_comes_to_another_server(farm_cli: FarmCli, exported: Path) -> None:
    expected = (farm_cli.home / "expected").read_text()
    assert (exported / "results.jsonl").read_text() == expected
    assert (exported / "code" / "tasks.py").read_text() == MIXED

    ran = farm_cli.run("import", exported)

    assert (ran.code, ran.out) == (0, "1\n")
    assert "Batch 1 (mixed): 7 of 7 tasks have their outcomes; it is failed." in ran.err
    assert jsonl(farm_cli, "1") == expected
    status = farm_cli.status("1")
    assert (status["state"], status["done"], status["failed"]) == ("failed", 6, 1)
    again = farm_cli.run("import", exported)
    assert (again.code, again.out) == (0, "1\n")
    assert "was imported already as batch 1" in again.err
    # What failed can be tried again there: its code came along.
    farm_cli.worker("elsewhere")
    assert farm_cli.run("retry", "1", "--wait", "--json").json["failed"] == 1


def test_it_is_exported_from_there_as_it_came(farm_cli: FarmCli, exported: Path) -> None:
    farm_cli.run("import", exported)
    again = farm_cli.home / "again"
    assert farm_cli.run("export", "mixed", again, "--json").json["outcomes"] == 7
    assert (again / "results.jsonl").read_text() == (exported / "results.jsonl").read_text()
    one, other = (json.loads((path / "batch.json").read_text()) for path in (exported, again))
    for key in ("name", "total", "call", "options", "space", "digest"):
        assert one[key] == other[key]
    assert one["export"] != other["export"]


def test_a_forgotten_import_can_be_imported_again(farm_cli: FarmCli, exported: Path) -> None:
    farm_cli.run("import", exported)
    farm_cli.run("forget", "1")

    ran = farm_cli.run("import", exported, "--json")

    assert (ran.code, ran.json["known"], ran.json["state"]) == (0, False, "failed")
    assert jsonl(farm_cli, "last") == (farm_cli.home / "expected").read_text()


def test_a_batch_that_is_half_done_is_finished_elsewhere(farm_cli: FarmCli) -> None:
    _, second = two_servers(farm_cli)
    farm_cli.worker("node")
    file = farm_cli.batch_file("python: tasks.py:half\nparams: {count: 10}", HALF)
    farm_cli.run("submit", file)
    wait_until(lambda: farm_cli.status("1")["done"] == 5)
    target = farm_cli.home / "out"
    assert farm_cli.run("export", "1", target).code == 0
    (farm_cli.home / "go").touch()
    farm_cli.address = second
    farm_cli.worker("other")

    imported = farm_cli.run("import", target)

    assert imported.code == 0
    assert "5 of 10 tasks have their outcomes" in imported.err
    assert "`farm resume 1` runs the rest" in imported.err
    status = farm_cli.status("1")
    assert (status["state"], status["done"], status["pending"]) == ("paused", 5, 5)
    assert farm_cli.run("resume", "1").code == 0
    wait_until(lambda: farm_cli.status("1")["state"] == "done")
    rows = farm_cli.run("results", "1", "--json").lines
    assert [row["result"] for row in rows] == [*range(10)]
    assert [row["node"] for row in rows] == ["node"] * 5 + ["other"] * 5


def test_what_was_cancelled_stays_so(farm_cli: FarmCli) -> None:
    _, second = two_servers(farm_cli)
    farm_cli.worker("node")
    file = farm_cli.batch_file("python: tasks.py:half\nparams: {count: 10}", HALF)
    farm_cli.run("submit", file)
    wait_until(lambda: farm_cli.status("1")["done"] == 5)
    farm_cli.run("cancel", "1")
    farm_cli.run("export", "1", farm_cli.home / "out")
    farm_cli.address = second

    imported = farm_cli.run("import", farm_cli.home / "out")

    assert "it is cancelled" in imported.err
    status = farm_cli.status("1")
    assert (status["state"], status["done"], status["cancelled"]) == ("cancelled", 5, 5)


def test_arguments_by_value_travel_too(farm_cli: FarmCli) -> None:
    _, second = two_servers(farm_cli)
    script = farm_cli.home / "script.py"
    script.write_text(
        "import farm\n"
        "with farm.connect() as f:\n"
        "    f.submit(lambda x: x * 2, [{'x': n} for n in range(2500)], name='double')\n"
        "    f.batch('double').export('out')\n"
    )
    farm_cli.python(script)
    farm_cli.address = second
    farm_cli.worker("node")

    assert farm_cli.run("import", farm_cli.home / "out").code == 0
    farm_cli.run("resume", "double")
    wait_until(lambda: farm_cli.status("double")["state"] == "done")
    rows = farm_cli.run("results", "double", "--json").lines
    assert [row["result"] for row in rows] == [2 * n for n in range(2500)]


def test_a_directory_is_never_written_over(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.run("submit", farm_cli.batch_file(YAML, MIXED))
    target = farm_cli.home / "out"
    target.mkdir()
    (target / "mine").touch()

    ran = farm_cli.run("export", "1", target)

    assert (ran.code, ran.out) == (2, "")
    assert f"cannot write {target}: it is not empty" in ran.err
    assert [path.name for path in target.iterdir()] == ["mine"]
    for batch, where in (("9", "new"), ("1", "no/where"), ("1", "batch.yaml")):
        assert farm_cli.run("export", batch, farm_cli.home / where).code == 2
    assert not (farm_cli.home / "new").exists()
    (target / "mine").unlink()
    assert farm_cli.run("export", "1", target).code == 0


def test_a_directory_that_is_broken_or_foreign_is_refused(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.worker("node")
    farm_cli.run("submit", farm_cli.batch_file(YAML, MIXED), "--wait")
    target = farm_cli.home / "out"
    farm_cli.run("export", "1", target)
    lines = target / "outcomes.jsonl"
    lines.write_text("rubbish\n" + lines.read_text())

    for directory, words in (
        (target, f"{lines}:1: "),
        (farm_cli.home, "is not an exported batch: there is no batch.json in it"),
        (farm_cli.home / "absent", "is not an exported batch"),
    ):
        ran = farm_cli.run("import", directory)
        assert (ran.code, ran.out) == (2, "")
        assert words in ran.err
    assert farm_cli.run("status", "-q").out == "1\n"
