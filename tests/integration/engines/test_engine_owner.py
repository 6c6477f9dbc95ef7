"""The process that owns an engine: its death, its end, its ``__main__``."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engine_driver import HERE, alive, group_members, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ROOT = HERE.parents[2]

OWNER = """
import json, sys, time
sys.path[:0] = [{root!r}, {here!r}]
print("MAIN IMPORTED", __name__, file=sys.stderr, flush=True)
embedding_main_marker = True

def run():
    from engine_driver import Driver, failures, results
    from farm.batch import space, spec
    from farm.engines.processes import ProcessEngine
    engine = ProcessEngine(2)
    engine.start()
    driver = Driver(engine)
    {body}

{guard}run()
"""


def owner(tmp_path, body, *, guard="if __name__ == '__main__': "):
    """Start a program that embeds an engine."""
    script = Path(tmp_path, "embedding_program.py")
    script.write_text(OWNER.format(root=str(ROOT), here=str(HERE), body=body, guard=guard))
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, str(script)],
        env=buffered,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize(
    "call",
    ["square", "hang", "sleep_for_ever", "block_signals", "hold_interpreter", "close_lifeline"],
)
def test_kill_9_of_the_owner_leaves_no_slot(tmp_path, call):
    body = f"""
    if {call!r} != "square":
        points = space.listed([{{"index": 1, "directory": {str(tmp_path)!r}}}] * 2)
        batch = driver.program({call!r}, points)
        driver.submit(batch, 0, 1)
        driver.submit(batch, 1, 2)
    print(json.dumps(engine.pids), flush=True)
    while True:
        driver.poll()
    """
    process = owner(tmp_path, body)
    pids = json.loads(process.stdout.readline())
    if call != "square":
        wait_until(lambda: (tmp_path / "attempts").exists())
        wait_until(lambda: (tmp_path / "attempts").read_text().count("\n") == 2)
        time.sleep(0.1)  # into the call itself
    assert all(map(alive, pids))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not any(map(alive, pids)), patience=5.0)


@pytest.mark.parametrize(
    "command",
    [
        "sleep 1000",
        "sleep 1000 & sleep 1000",
        "trap '' TERM; sh -c 'sleep 1000 & sleep 1000' & sleep 1000",
    ],
)
def test_kill_9_of_the_owner_ends_commands_too(tmp_path, command):
    body = f"""
    batch = driver.program(spec.CommandCall({command!r}), 1, code="")
    driver.submit(batch, 0, 1)
    print(json.dumps(engine.pids), flush=True)
    while True:
        driver.poll()
    """
    process = owner(tmp_path, body)
    pids = json.loads(process.stdout.readline())

    def members():
        return [member for pid in pids for member in group_members(pid)]

    wanted = len(pids) + 1 + command.count("sleep") - (command == "sleep 1000")
    wait_until(lambda: len(members()) >= wanted)
    process.kill()
    process.communicate()
    wait_until(lambda: members() == [], patience=5.0)


def test_an_owner_that_forgets_to_stop_ends_all_the_same(tmp_path):
    process = owner(tmp_path, "print(json.dumps(engine.pids), flush=True)")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    wait_until(lambda: not any(map(alive, json.loads(out))))


def test_slots_do_not_import_the_owners_main(tmp_path):
    body = """
    batch = driver.program("main_modules", 1)
    print(json.dumps(list(results(driver.run(batch, 0, 1)).values())), flush=True)
    engine.stop()
    """
    process = owner(tmp_path, body, guard="")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert json.loads(out) == [[]]
    assert err.count("MAIN IMPORTED") == 1


def test_other_processes_of_the_owner_still_get_its_main(tmp_path):
    body = """
    import multiprocessing
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(json.dumps(pool.map(helper, [1])), flush=True)
    engine.stop()
    """
    helper = "def helper(x): return x + 1\nif __name__ == '__main__': "
    process = owner(tmp_path, body, guard=helper)
    out, err = process.communicate(timeout=60)
    assert json.loads(out) == [2], err


def test_slots_write_to_the_owners_streams(tmp_path):
    body = """
    batch = driver.program(spec.PythonCall("builtins:print"), code="")
    driver.run(batch, 0, 1, [(("from a task",), {})])
    engine.stop()
    """
    out, err = owner(tmp_path, body).communicate(timeout=30)
    assert out == "from a task\n", err
