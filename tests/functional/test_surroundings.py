"""What surrounds a run: its input, its directory, and the processes it depends on."""

import os
import signal
import subprocess
import sys

from functional_farm import SECONDS, FarmCli, marked_processes, wait_until

HELPER = "from farm.local import run_helper"


def test_what_tasks_start_reads_no_input(farm_cli: FarmCli) -> None:
    python = """
import os, subprocess
def f():
    copied = subprocess.run(["cat"], capture_output=True).stdout
    return os.readlink("/proc/self/fd/0"), copied == b""
"""
    file, target = farm_cli.batch_file("python: tasks.py:f", python), farm_cli.home / "out.jsonl"
    ran = farm_cli.run("run", file, "--output", target, "--quiet")
    assert ran.code == 0, ran.err
    assert farm_cli.rows(target)[0]["result"] == [os.devnull, True]


def test_a_directory_that_is_gone(farm_cli: FarmCli) -> None:
    file = farm_cli.batch_file("python: tasks.py:f", "def f():\n    return 1\n")
    script = 'mkdir "$1" && cd "$1" && rmdir "$1" && exec "$2" -m farm run "$3"'
    ran = subprocess.run(
        ["sh", "-c", script, "sh", str(farm_cli.home / "gone"), sys.executable, str(file)],
        env=farm_cli.environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert ran.returncode == 1, ran.stderr
    assert "the current directory cannot be used" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_run_whose_node_is_killed_ends_and_says_so(farm_cli: FarmCli) -> None:
    python = "import time\ndef f():\n    time.sleep(600)\n"
    started = farm_cli.start("run", farm_cli.batch_file("python: tasks.py:f", python))

    def node() -> list[int]:
        helpers = marked_processes(farm_cli.mark).items()
        return [pid for pid, line in helpers if HELPER in line and " node " in line]

    (pid,) = wait_until(node)
    wait_until(lambda: "0/1" in started.err)
    os.kill(pid, signal.SIGKILL)
    ran = started.wait()
    assert ran.code == 1
    assert "the local node has ended with exit code -9" in ran.err
