"""A data directory that cannot be used: `farm serve` says why, and leaves everything as it was."""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from farm_disk import Disk
from functional_farm import SECONDS, FarmCli, wait_until

PAGE = 4096
PYTHON = "def f(index):\n    return 'r' * 9000\n"
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1  # prctl(2), capabilities(7)


@pytest.fixture
def data(farm_cli: FarmCli) -> Path:
    """A journal with a batch of three results of 9 kB, which are not large."""
    directory = farm_cli.home / "data"
    server = farm_cli.serve("--data", directory)
    farm_cli.worker("node")
    file = farm_cli.batch_file("python: tasks.py:f\nparams: {count: 3}", PYTHON)
    assert farm_cli.run("submit", file, "--wait").code == 0
    farm_cli.stop_all()
    assert server.process.returncode == 0
    assert [path.name for path in directory.iterdir()] == ["journal.sqlite"]
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def change(data: Path, sql: str) -> None:
    db = sqlite3.connect(data / "journal.sqlite")
    db.execute(sql)
    db.commit()
    db.close()


def root_page(data: Path, name: str) -> int:
    db = sqlite3.connect(data / "journal.sqlite")
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    db.close()
    return page


def overwrite(data: Path, offset: int, size: int) -> None:
    with (data / "journal.sqlite").open("r+b") as file:
        file.seek(offset)
        file.write(random.Random(7).randbytes(size))


def test_one_of_a_newer_farm(farm_cli: FarmCli, data: Path) -> None:
    change(data, "PRAGMA user_version = 77")
    before = contents(data)
    said = farm_cli.refused_serve(data)
    assert "is of version 77, this farm writes " in said
    assert "install the newer farm, or give another directory with --data" in said
    assert contents(data) == before


def test_one_of_a_newer_farm_that_was_killed(farm_cli: FarmCli, data: Path) -> None:
    """Its log is not merged by a farm that does not know it."""
    change(data, "PRAGMA user_version = 77")
    write = "db.execute('INSERT INTO popped VALUES (1, 1)'); db.commit(); os._exit(0)"
    script = f"import os, sqlite3; db = sqlite3.connect({str(data / 'journal.sqlite')!r}); {write}"
    subprocess.run([sys.executable, "-c", script], check=True)
    before = contents(data)
    assert len(before["journal.sqlite-wal"]) > 0
    assert "is of version 77" in farm_cli.refused_serve(data)
    assert contents(data) == before


@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_database_of_something_else(farm_cli: FarmCli, version: int) -> None:
    data = farm_cli.home / "data"
    data.mkdir()
    change(data, "CREATE TABLE bookmarks (url)")
    change(data, f"PRAGMA user_version = {version}")
    before = contents(data)
    assert "the database of something else, not a journal" in farm_cli.refused_serve(data)
    assert contents(data) == before


def test_something_that_is_no_database(farm_cli: FarmCli) -> None:
    data = farm_cli.home / "data"
    data.mkdir()
    (data / "journal.sqlite").write_bytes(b"a letter to my aunt, which is long enough " * 100)
    before = contents(data)
    assert "it is not a journal, or damaged" in farm_cli.refused_serve(data)
    assert contents(data) == before


@pytest.mark.parametrize("where", ["beginning", "batches", "outcomes_by_index", "meta", "half"])
def test_a_damaged_one(farm_cli: FarmCli, data: Path, where: str) -> None:
    file = data / "journal.sqlite"
    if where == "beginning":
        overwrite(data, 0, 200)
    elif where == "half":
        os.truncate(file, file.stat().st_size // PAGE // 2 * PAGE)
    else:
        overwrite(data, (root_page(data, where) - 1) * PAGE, 1000)
    if where == "outcomes_by_index":  # which is not read for batches that have ended
        return _damage_of_a_running_batch(farm_cli, data)
    before = contents(data)
    said = farm_cli.refused_serve(data)
    assert "it is not a journal, or damaged" in said
    assert "nothing was changed" in said
    assert ".recover" in said
    assert contents(data) == before
    return None


def _damage_of_a_running_batch(farm_cli: FarmCli, data: Path) -> None:
    change(data, "UPDATE batches SET ended = 0")
    before = contents(data)
    assert "it is not a journal, or damaged" in farm_cli.refused_serve(data)
    assert contents(data) == before


def test_damage_that_is_only_found_when_it_is_read(farm_cli: FarmCli, data: Path) -> None:
    """The result that cannot be read has failed; all others are there, and all else goes on."""
    full = (data / "journal.sqlite").read_bytes().index(b"r" * 3500)
    with (data / "journal.sqlite").open("r+b") as file:
        file.seek(full // PAGE * PAGE)
        file.write(b"\xff" * 4)  # where the result goes on
    server = farm_cli.serve("--data", data)
    assert farm_cli.status()["done"] == 3
    for _ in range(3):
        rows = farm_cli.run("results", "last", "--json").lines
        assert sorted(row["status"] for row in rows) == ["done", "done", "error"]
    (lost,) = (row["error"] for row in rows if row["status"] == "error")
    assert lost["type"] == "ResultError"
    assert "damaged on the server's disk (malformed: a row of the database)" in lost["message"]
    assert server.err.count("malformed") == 1
    assert "Traceback" not in server.err
    assert server.process.poll() is None
    assert farm_cli.status()["state"] == "done"


def test_damage_that_is_found_when_it_is_written_to(farm_cli: FarmCli, data: Path) -> None:
    """Nothing is acknowledged, and the server ends with the reason."""
    overwrite(data, (root_page(data, "batches_by_name") - 1) * PAGE, 1000)
    server = farm_cli.serve("--data", data)
    submit = farm_cli.start("submit", farm_cli.home / "batch.yaml")
    ran = server.wait()
    assert ran.code == 2
    assert "cannot be used any more: database disk image is malformed" in ran.err.splitlines()[-1]
    submit.signal(signal.SIGTERM)
    assert submit.wait().out == ""


def test_a_second_server_on_the_same_directory(farm_cli: FarmCli) -> None:
    data = farm_cli.home / "data"
    farm_cli.serve("--data", data)
    assert "another server uses it: stop that one" in farm_cli.refused_serve(data)
    assert farm_cli.run("status").code == 0


def test_a_directory_that_is_removed_while_it_is_in_use(farm_cli: FarmCli) -> None:
    """Rather no server than one that acknowledges into nothing."""
    data = farm_cli.home / "data"
    server = farm_cli.serve("--data", data)
    shutil.rmtree(data)
    ran = server.wait()
    assert ran.code == 2
    assert "is not there any more: it was removed, moved or replaced" in ran.err
    assert "Traceback" not in ran.err
    assert not data.exists()


# -- a disk that cannot be written ------------------------------------------------------------


def test_a_full_disk_at_the_start(farm_cli: FarmCli, disk: Disk) -> None:
    disk.fill()
    said = farm_cli.refused_serve(disk.path / "data")
    assert "make room on its disk, or give another directory with --data" in said
    disk.make_room()
    farm_cli.serve("--data", disk.path / "data")


@pytest.mark.parametrize("there", [False, True], ids=["new", "there already"])
def test_a_read_only_disk(farm_cli: FarmCli, disk: Disk, there: bool) -> None:
    data = disk.path / "data"
    if there:
        farm_cli.serve("--data", data)
        farm_cli.stop_all()
    disk.read_only()
    said = farm_cli.refused_serve(data)
    assert "Read-only file system" in said
    assert "give a directory that can be written with --data" in said
    disk.read_only(False)
    farm_cli.serve("--data", data)


@pytest.mark.parametrize("what", ["directory", "file"])
def test_what_this_user_may_not_write(farm_cli: FarmCli, data: Path, what: str) -> None:
    path = data if what == "directory" else data / "journal.sqlite"
    before = contents(data)
    path.chmod(0o500 if what == "directory" else 0o400)
    ran = _serve_with_no_more_than_its_own_rights(farm_cli, data)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "give a directory that can be written with --data" in ran.stderr
    assert "Traceback" not in ran.stderr
    path.chmod(0o700)
    assert contents(data) == before


def _serve_with_no_more_than_its_own_rights(
    cli: FarmCli, data: Path
) -> subprocess.CompletedProcess[str]:
    """`farm serve` by somebody for whom the modes of files hold, as they do not for root."""
    drop_rights = None
    if os.geteuid() == 0:
        prctl = ctypes.CDLL(None).prctl

        def drop_rights() -> None:
            assert prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) == 0

    return subprocess.run(
        [sys.executable, "-m", "farm", "serve", "--port", "0", "--data", str(data)],
        env=cli.environment(), text=True, stdin=subprocess.DEVNULL, preexec_fn=drop_rights,
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip


# -- a disk that fills up ---------------------------------------------------------------------

LARGE = """
import os, pathlib, time
def large(index):
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    with open("runs", "a") as file:
        file.write(f"{index}\\n")
    return os.urandom(50_000).hex()
"""


def test_a_disk_that_fills_up_and_is_emptied_again(farm_cli: FarmCli, disk: Disk) -> None:
    """What is owed stays with the node, also when the server is killed; nothing runs twice."""
    data = disk.path / "data"
    server = farm_cli.serve("--data", data)
    farm_cli.worker("node", processes=2)
    early = farm_cli.batch_file("python: tasks.py:f\nparams: {count: 5}", PYTHON)
    assert farm_cli.run("submit", early, "--wait").code == 0
    python = PYTHON + LARGE
    file = farm_cli.batch_file("python: tasks.py:large\nparams: {count: 8}", python, name="large")
    assert farm_cli.run("submit", file).code == 0
    wait_until(lambda: farm_cli.status()["running"] >= 2)
    disk.fill()
    (farm_cli.home / "go").touch()
    wait_until(lambda: "cannot be written (database or disk is full)" in server.err)

    refused = farm_cli.run("submit", early)
    assert (refused.code, refused.out) == (1, "")
    assert "cannot write its journal (database or disk is full); nothing was taken" in refused.err
    assert farm_cli.status()["state"] == "running"
    for command in (("cancel", "large"), ("forget", "1")):
        refused = farm_cli.run(*command)
        assert refused.code == 1
        assert "Free room on the file system of the server's data directory" in refused.err
    for command in (("status",), ("status", "large")):
        said = " ".join(farm_cli.run(*command).out.split())
        assert "The server cannot write its journal since " in said
        assert "Free room on the file system of the server's data directory" in said
    assert f"Free room on the file system of {data}" in server.err
    assert len(farm_cli.run("results", "1", "--json").lines) == 5
    assert farm_cli.run("nodes", "--json").json["nodes"][0]["state"] == "up"

    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    port = farm_cli.address.rpartition(":")[2]
    again = farm_cli.start("serve", "--port", port, "--json", "--data", data)
    assert json.loads(again.first_line())["port"] == int(port)
    wait_until(lambda: "cannot be written (database or disk is full)" in again.err)
    assert farm_cli.status()["state"] == "running"

    disk.make_room()
    wait_until(lambda: farm_cli.status()["state"] == "done")
    assert "can be written again" in again.err
    rows = farm_cli.run("results", "last", "--json").lines
    assert [row["index"] for row in rows] == list(range(8))
    assert all(len(row["result"]) == 100_000 for row in rows)
    assert sorted(map(int, (farm_cli.home / "runs").read_text().split())) == list(range(8))
    assert farm_cli.run("submit", early, "--wait").code == 0
