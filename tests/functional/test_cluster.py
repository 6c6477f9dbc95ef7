"""A server and its nodes as a person starts them, and what the commands say of them."""

import re
import signal
import time
from pathlib import Path

import pytest
from functional_farm import FarmCli, wait_until

SLEEPY = "import time\ndef nap(index):\n    time.sleep(0.02)\n    return index\n"
ENDLESS = """
import pathlib, time
def hang(index):
    pathlib.Path(f"begun-{index}").touch()
    time.sleep(600)
"""


def test_two_nodes_share_a_batch(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.worker("left")
    farm_cli.worker("right")
    file = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 100}", SLEEPY)

    submitted = farm_cli.run("submit", file, "--wait")

    assert submitted.code == 0
    assert submitted.out == "1\n"
    assert "100/100" in submitted.err
    assert "is done: 100 tasks" in submitted.err
    status = farm_cli.status("1")
    assert status["state"] == "done"
    assert (status["total"], status["done"], status["failed"]) == (100, 100, 0)
    shares = {share["node"]: share["done"] for share in status["nodes"]}
    assert set(shares) == {"left", "right"}
    assert min(shares.values()) > 0
    assert sum(shares.values()) == 100
    nodes = {node["name"]: node for node in farm_cli.run("nodes", "--json").json["nodes"]}
    assert {name: node["done"] for name, node in nodes.items()} == shares
    assert {node["slots"] for node in nodes.values()} == {1}


def test_tables_for_people(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    assert "No nodes" in farm_cli.run("nodes").out
    assert "No batches yet. 0 nodes with 0 slots." in farm_cli.run("status").out
    farm_cli.worker("only", processes=2)
    file = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 3}", SLEEPY, name="naps")
    farm_cli.run("submit", file, "--wait")

    overview, details, nodes = (
        farm_cli.run(*line).out for line in (("status",), ("status", "naps"), ("nodes",))
    )

    assert re.search(r"1\s+naps\s+done\s+3/3\s+0\s+0", overview)
    assert "1 node with 2 slots" in overview
    assert "Batch 1 (naps): done" in details
    assert "3: 3 done" in details
    assert re.search(r"only\s+3\s", details)
    assert re.search(r"1\s+only\s+up\s+2\s+0\s+3\s+0\s+127\.0\.0\.1", nodes)


def test_a_batch_waits_for_nodes_and_is_found_by_id_name_and_last(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    file = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 4}", SLEEPY)

    first = farm_cli.run("submit", file, "--name", "early")
    second = farm_cli.run("--json", "submit", file)

    assert first.out == "1\n"
    assert second.json == {"batch": 2, "name": "batch", "total": 4}
    assert {ref: farm_cli.status(ref)["batch"] for ref in ("1", "early", "last", "batch")} == {
        "1": 1,
        "early": 1,
        "last": 2,
        "batch": 2,
    }
    assert farm_cli.status("early")["state"] == "waiting"
    farm_cli.worker("late")
    wait_until(lambda: farm_cli.status("last")["state"] == "done")
    assert farm_cli.run("status", "--quiet").out == "2\n1\n"
    assert farm_cli.run("status", "--limit", "1", "-q").out == "2\n"
    assert farm_cli.run("nodes", "-q").out == "late\n"
    unknown = farm_cli.run("status", "nonesuch")
    assert unknown.code == 2
    assert "'nonesuch'" in unknown.err


def test_submit_wait_exits_with_1_if_tasks_failed(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.worker("node")
    python = "def pick(index):\n    return 1 / index\n"
    file = farm_cli.batch_file("python: tasks.py:pick\nparams: {count: 3}", python)

    ran = farm_cli.run("submit", file, "--wait")

    assert ran.code == 1
    assert "1 of 3 tasks" in ran.err
    assert "farm results 1 --failed" in ran.err
    as_json = farm_cli.run("submit", file, "--wait", "--json")
    assert as_json.code == 1
    assert (as_json.json["state"], as_json.json["failed"]) == ("failed", 1)
    assert as_json.err == ""


def test_ctrl_c_while_waiting_leaves_the_batch_alone(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    file = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 2}", SLEEPY)
    submit = farm_cli.start("submit", file, "--wait")
    wait_until(lambda: "waiting for nodes" in submit.err)

    submit.interrupt_group()
    ran = submit.wait()

    assert ran.code == 130
    assert "batch 1 goes on; `farm cancel 1` stops it" in ran.err
    assert farm_cli.status()["state"] == "waiting"


def test_cancel_kills_what_runs(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.worker("node")
    file = farm_cli.batch_file("python: tasks.py:hang\nparams: {count: 5}", ENDLESS)
    farm_cli.run("submit", file)
    wait_until(lambda: (farm_cli.home / "begun-0").exists())

    cancelled = farm_cli.run("cancel", "last")

    assert cancelled.code == 0
    assert "is cancelled: 0 of 5 tasks done" in cancelled.out
    # The slot is free again at once: another batch gets it.
    farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 1}", SLEEPY, name="next")
    assert farm_cli.run("submit", farm_cli.home / "next.yaml", "--wait").code == 0


def test_a_hundred_million_tasks_are_submitted_at_once(farm_cli: FarmCli) -> None:
    server = farm_cli.serve()
    farm_cli.worker("node")
    python = "def nothing(index):\n    pass\n"
    file = farm_cli.batch_file("python: tasks.py:nothing\nparams: {count: 100000000}", python)

    begun = time.monotonic()
    submitted = farm_cli.run("submit", file)
    taken = time.monotonic() - begun

    assert submitted.code == 0
    assert taken < 5.0  # an expansion would take minutes
    wait_until(lambda: farm_cli.status()["done"] > 500_000)
    assert _resident_mib(server.pid) < 200
    assert farm_cli.run("cancel", "last").code == 0
    assert farm_cli.status()["cancelled"] > 0


def _resident_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_cleanly(farm_cli: FarmCli, number: signal.Signals) -> None:
    server = farm_cli.serve()

    server.signal(number)

    assert server.wait().code == 0
    assert server.err == ""


def test_a_node_that_is_told_to_stop_ends_its_task_first(farm_cli: FarmCli) -> None:
    python = """
import pathlib, time
def wait_for_it(index):
    pathlib.Path(f"begun-{index}").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return "ended"
"""
    farm_cli.serve()
    node = farm_cli.worker("node")
    file = farm_cli.batch_file("python: tasks.py:wait_for_it\nparams: {count: 3}", python)
    farm_cli.run("submit", file)
    wait_until(lambda: (farm_cli.home / "begun-0").exists())

    node.signal(signal.SIGTERM)
    wait_until(lambda: farm_cli.status()["pending"] == 2)
    (farm_cli.home / "go").touch()

    assert node.wait().code == 0
    status = farm_cli.status()
    assert (status["done"], status["pending"], status["running"]) == (1, 2, 0)
    assert farm_cli.run("nodes", "--json").json["nodes"][0]["state"] == "left"


def test_a_node_that_is_told_to_stop_waits_no_longer_than_its_grace(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    node = farm_cli.worker("node", "--grace", "1.5")
    file = farm_cli.batch_file("python: tasks.py:hang\nparams: {count: 1}", ENDLESS)
    farm_cli.run("submit", file)
    wait_until(lambda: (farm_cli.home / "begun-0").exists())

    told = time.monotonic()
    node.signal(signal.SIGTERM)

    assert node.wait(15.0).code == 0
    assert 1.4 < time.monotonic() - told < 8.0
    wait_until(lambda: farm_cli.status()["pending"] == 1)


def test_a_second_signal_stops_a_node_at_once(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    node = farm_cli.worker("node")
    file = farm_cli.batch_file("python: tasks.py:hang\nparams: {count: 1}", ENDLESS)
    farm_cli.run("submit", file)
    wait_until(lambda: (farm_cli.home / "begun-0").exists())

    node.signal(signal.SIGINT)
    wait_until(lambda: farm_cli.status()["running"] == 1)
    node.signal(signal.SIGINT)

    assert node.wait(15.0).code == 0
    wait_until(lambda: farm_cli.status()["pending"] == 1)


def test_the_server_remembers_batches_when_it_comes_back(farm_cli: FarmCli) -> None:
    server = farm_cli.serve()
    farm_cli.worker("node")
    file = farm_cli.batch_file("python: tasks.py:nap\nparams: {count: 5}", SLEEPY)
    farm_cli.run("submit", file, "--wait")
    server.signal(signal.SIGTERM)
    server.wait()

    farm_cli.serve()

    assert farm_cli.status("batch")["done"] == 5
    assert [row["result"] for row in farm_cli.run("results", "last", "--json").lines] == [*range(5)]
