"""Batches and nodes under control: pause, resume, retry, forget and drain, as a person does it."""

from __future__ import annotations

from pathlib import Path

import pytest
from functional_farm import FarmCli, wait_until

SLEEPY = "import time\ndef nap(index):\n    time.sleep(0.02)\n    return index\n"
WAITING = """
import pathlib, time
def wait_for_it(index):
    pathlib.Path(f"begun-{index}").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return index
"""
UNTIL_FIXED = """
import pathlib
def divide(index):
    if index % 2 and not pathlib.Path("fixed").exists():
        raise ValueError("not yet")
    return index
"""


def begun(cli: FarmCli) -> int:
    """How many tasks of `WAITING` have begun."""
    return len(list(cli.home.glob("begun-*")))


# -- pause and resume -------------------------------------------------------------------------


def test_pause_holds_what_has_not_begun_and_resume_goes_on(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.worker("node")
    file = farm_cli.batch_file("python: tasks.py:wait_for_it\nparams: {count: 20}", WAITING)
    farm_cli.run("submit", file)
    wait_until(lambda: begun(farm_cli))

    paused = farm_cli.run("pause", "last")
    (farm_cli.home / "go").touch()
    wait_until(lambda: farm_cli.status("1")["running"] == 0)
    before = begun(farm_cli)
    other = farm_cli.batch_file('command: ["true"]\nparams: {count: 3}', WAITING, name="other")

    assert paused.code == 0
    assert "Batch 1 (batch) is paused: " in paused.out
    assert "`farm resume 1` goes on with it" in paused.err
    # The node is there and works, but not for the batch that is paused.
    assert farm_cli.run("submit", other, "--wait").code == 0
    assert begun(farm_cli) == before < 20
    status = farm_cli.status("1")
    assert (status["state"], status["paused"], status["done"]) == ("paused", True, before)
    assert "Batch 1 (batch): paused" in farm_cli.run("status", "1").out

    resumed = farm_cli.run("resume", "1", "--json")

    assert resumed.code == 0
    assert (resumed.json["batch"], resumed.json["paused"]) == (1, False)
    wait_until(lambda: farm_cli.status("1")["state"] == "done")
    rows = farm_cli.run("results", "1", "--json").lines
    assert [row["result"] for row in rows] == [*range(20)]
    assert {row["attempts"] for row in rows} == {1}


def test_a_batch_stays_paused_when_the_server_comes_back(farm_cli: FarmCli) -> None:
    server = farm_cli.serve()
    file = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 3}", SLEEPY)
    farm_cli.run("submit", file)
    assert farm_cli.run("pause", "1").code == 0
    server.process.kill()
    server.process.wait()

    farm_cli.serve()
    farm_cli.worker("node")
    other = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 3}", SLEEPY, name="other")

    assert farm_cli.run("submit", other, "--wait").code == 0
    status = farm_cli.status("1")
    assert (status["state"], status["done"]) == ("paused", 0)


def test_progress_says_that_a_batch_is_paused(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    file = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 3}", SLEEPY)
    submit = farm_cli.start("submit", file, "--wait")
    wait_until(lambda: "waiting for nodes" in submit.err)
    farm_cli.run("pause", "1")
    wait_until(lambda: "0/3, paused (`farm resume 1` goes on)" in submit.err)
    farm_cli.worker("node")
    farm_cli.run("resume", "1")

    assert submit.wait().code == 0


# -- retry ------------------------------------------------------------------------------------


def test_retry_of_all_that_failed(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.worker("node")
    file = farm_cli.batch_file("python: tasks.py:divide\nparams: {count: 6}", UNTIL_FIXED)
    ran = farm_cli.run("submit", file, "--wait")
    assert ran.code == 1
    assert "`farm retry 1` tries them again" in ran.err
    (farm_cli.home / "fixed").touch()

    retried = farm_cli.run("retry", "last")

    assert retried.code == 0
    assert retried.out == "3 tasks of batch 1 (batch) are tried again.\n"
    wait_until(lambda: farm_cli.status("1")["state"] == "done")
    rows = farm_cli.run("results", "1", "--json").lines
    assert [(row["index"], row["status"]) for row in rows] == [(i, "done") for i in range(6)]
    assert farm_cli.run("results", "1", "--failed", "--json").lines == []
    again = farm_cli.run("retry", "1")
    assert again.code == 0
    assert again.out.startswith("No task of batch 1 (batch) is tried again")
    assert farm_cli.run("retry", "1", "--quiet").out == "0\n"


def test_retry_of_some_indices_and_waiting_for_them(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.worker("node")
    file = farm_cli.batch_file("python: tasks.py:divide\nparams: {count: 12}", UNTIL_FIXED)
    farm_cli.run("submit", file, "--wait")
    (farm_cli.home / "fixed").touch()

    some = farm_cli.run("retry", "1", "--index", "0-3,7", "--wait")

    assert some.code == 1
    assert "3 tasks of batch 1 (batch) are tried again." in some.err
    assert "3 of 12 tasks" in some.err
    left = farm_cli.run("results", "1", "--failed", "--json").lines
    assert [row["index"] for row in left] == [5, 9, 11]

    rest = farm_cli.run("retry", "1", "--failed", "--wait", "--json")

    assert rest.code == 0
    assert (rest.json["tasks"], rest.json["state"], rest.json["failed"]) == (3, "done", 0)


def test_retry_of_what_was_cancelled(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    file = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 4}", SLEEPY)
    farm_cli.run("submit", file)
    farm_cli.run("cancel", "1")

    assert farm_cli.run("retry", "1", "--failed", "--json").json["tasks"] == 0
    assert farm_cli.status("1")["state"] == "cancelled"
    assert farm_cli.run("retry", "1", "--json").json["tasks"] == 4
    farm_cli.worker("node")
    wait_until(lambda: farm_cli.status("1")["state"] == "done")


def test_a_batch_that_too_many_failures_stop_says_so(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.worker("node")
    yaml = "python: tasks.py:divide\nparams: {count: 2000}\noptions: {max_failures: 3}"
    file = farm_cli.batch_file(yaml, UNTIL_FIXED)

    ran = farm_cli.run("submit", file, "--wait")

    status = farm_cli.status("1")
    assert ran.code == 1
    assert (status["state"], status["done"] + status["failed"] < 2000) == ("cancelled", True)
    assert status["reason"]
    assert f"was cancelled ({status['reason']})" in ran.err
    assert "`farm retry 1` tries the rest again" in ran.err
    assert status["reason"] in farm_cli.run("status", "1").out
    alone = farm_cli.run("run", file)
    assert alone.code == 1
    assert status["reason"] in alone.out
    (farm_cli.home / "fixed").touch()
    assert farm_cli.run("retry", "1", "--wait").code == 0
    assert farm_cli.status("1")["done"] == 2000


# -- forget -----------------------------------------------------------------------------------


def size_of(directory: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def test_a_batch_that_is_forgotten_is_gone_and_gives_its_space_back(farm_cli: FarmCli) -> None:
    data = farm_cli.home / "data"
    server = farm_cli.serve("--data", data)
    farm_cli.worker("node")
    python = "import os\ndef much(index):\n    return os.urandom(200_000)\n"
    large = farm_cli.batch_file("python: tasks.py:much\nparams: {count: 60}", python)
    small = farm_cli.batch_file('command: ["true"]', python, name="small")
    assert farm_cli.run("submit", large, "--wait").code == 0
    assert farm_cli.run("submit", small, "--wait").code == 0
    before = size_of(data)
    assert before > 60 * 200_000

    forgotten = farm_cli.run("forget", "batch")

    assert (forgotten.code, forgotten.out) == (0, "Batch 1 is forgotten.\n")
    assert [one["batch"] for one in farm_cli.run("status", "--json").json["batches"]] == [2]
    for line in (("status", "1"), ("results", "1"), ("status", "batch"), ("retry", "1")):
        assert farm_cli.run(*line).code == 2
    wait_until(lambda: size_of(data) < before / 4)
    assert farm_cli.run("results", "2", "--json").lines[0]["status"] == "done"
    server.process.kill()
    server.process.wait()
    farm_cli.serve("--data", data)
    assert [one["batch"] for one in farm_cli.run("status", "--json").json["batches"]] == [2]


def test_several_are_forgotten_at_once_and_none_that_has_not_ended(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    file = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 3}", SLEEPY)
    for _ in range(4):
        farm_cli.run("submit", file)
    for batch in "123":
        farm_cli.run("cancel", batch)

    refused = farm_cli.run("forget", "3", "last")

    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "Error: batch 4 has not ended: wait, or `farm cancel 4` first; nothing is forgotten\n"
    )
    assert farm_cli.status("3")["state"] == "cancelled"
    assert farm_cli.status("4")["state"] == "waiting"
    assert farm_cli.run("forget", "3").code == 0
    both = farm_cli.run("forget", "1", "2", "1", "--json")
    assert (both.code, both.json) == (0, {"forgotten": [1, 2]})
    assert farm_cli.run("status", "-q").out == "4\n"


# -- drain ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["name", "node"])
def test_a_node_is_drained(farm_cli: FarmCli, by: str) -> None:
    farm_cli.serve()
    left = farm_cli.worker("left")
    farm_cli.worker("right")
    file = farm_cli.batch_file("python: tasks.py:wait_for_it\nparams: {count: 20}", WAITING)
    farm_cli.run("submit", file)
    wait_until(lambda: begun(farm_cli) == 2)
    nodes = {node["name"]: node for node in farm_cli.run("nodes", "--json").json["nodes"]}

    drained = farm_cli.run("drain", str(nodes["left"][by]))

    assert drained.code == 0
    assert "(left) finishes what it runs, takes nothing new, and leaves" in drained.out
    wait_until(lambda: " draining " in farm_cli.run("nodes").out)
    assert left.process.poll() is None
    (farm_cli.home / "go").touch()
    assert left.wait().code == 0
    wait_until(lambda: farm_cli.status("1")["state"] == "done")
    rows = farm_cli.run("results", "1", "--json").lines
    assert [row["result"] for row in rows] == [*range(20)]
    assert {row["attempts"] for row in rows} == {1}  # what it ran was finished, not repeated
    assert "left" in {row["node"] for row in rows}
    states = {node["name"]: node["state"] for node in farm_cli.run("nodes", "--json").json["nodes"]}
    assert states == {"left": "left", "right": "up"}


# -- wrong use --------------------------------------------------------------------------------


WRONG = {
    "retry 1 --failed --index 1": "give --failed or --index, not both",
    "retry 1 --index x": "'x' is neither an index nor a range",
    "retry 1 --index 2-1": "2-1 is reversed; write 1-2",
    "retry 1 --index -1": "-1 is negative: indices count from 0",
    "retry 1 --index 3": "there is no task 3: the batch has tasks 0 to 2",
    "pause 9": "9",
    "resume nonesuch": "nonesuch",
    "retry 9": "9",
    "forget 1 9": "9",
    "forget": "BATCH",
    "drain nobody": "nobody",
    "drain 77": "77",
}


def test_wrong_use(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    file = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 3}", SLEEPY)
    farm_cli.run("submit", file)

    for line, words in WRONG.items():
        ran = farm_cli.run(*line.split())
        assert (line, ran.code, ran.out) == (line, 2, "")
        assert words in ran.err
        assert "Traceback" not in ran.err
    assert farm_cli.status("1")["state"] == "waiting"


def test_the_settings_of_a_server_that_keeps_little(farm_cli: FarmCli) -> None:
    farm_cli.serve("--durability", "disk", "--keep", "30d")
    file = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 3}", SLEEPY)
    farm_cli.worker("node")
    assert farm_cli.run("submit", file, "--wait").code == 0
    assert farm_cli.status("1")["state"] == "done"
    for line, words in (
        (("--durability", "ssd"), "--durability: 'ssd' cannot be used"),
        (("--keep", "for ever"), "--keep: 'for ever' cannot be used"),
    ):
        ran = farm_cli.run("serve", *line)
        assert (ran.code, words in ran.err) == (2, True)


def test_batches_are_forgotten_by_themselves(farm_cli: FarmCli) -> None:
    farm_cli.serve("--keep", "1s")
    farm_cli.worker("node")
    ended = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 3}", SLEEPY)
    farm_cli.run("submit", ended, "--wait")
    waits = farm_cli.batch_file("python: tasks.py:wait_for_it\nparams: {count: 1}", WAITING)
    farm_cli.run("submit", waits)

    wait_until(lambda: farm_cli.run("status", "-q").out == "2\n")
    (farm_cli.home / "go").touch()
