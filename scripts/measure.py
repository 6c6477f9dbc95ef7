"""What `scripts/measure` runs: the real commands, timed from outside."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure_restart

FARM = [sys.executable, "-m", "farm"]
MAX_SECONDS = 1.0
MAX_MEGABYTES = 200.0

MATRIX = """\
name: large
python: noop.py:f
params:
  matrix:
    a: {range: [0, 1000000]}
    b: {range: [0, 1000000]}
  exclude: [{a: 5}, {a: 7, b: 3}]
"""
COUNT = """\
name: noop
python: noop.py:g
params: {count: %d}
"""
CODE = """\
def f(a, b):
    return a + b

def g(index):
    return index + 1
"""


def timed(*command: str) -> tuple[float, str]:
    """How long a command takes, and what it prints."""
    began = time.perf_counter()
    done = subprocess.run([*FARM, *command], check=True, capture_output=True, text=True)
    return time.perf_counter() - began, done.stdout


def megabytes(pid: int) -> float:
    """Resident memory of a process (proc(5), statm)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def run(directory: Path, tasks: int) -> list[tuple[str, float, float | None, str]]:
    """Each figure: what, how much, at most how much, unit."""
    (directory / "noop.py").write_text(CODE)
    (directory / "matrix.yaml").write_text(MATRIX)
    (directory / "count.yaml").write_text(COUNT % tasks)
    seconds, _ = timed("validate", str(directory / "matrix.yaml"))
    figures = [("validate 10^12 points", seconds, MAX_SECONDS, "s")]

    server = subprocess.Popen(
        [*FARM, "serve", "--port", "0", "--data", str(directory / "data"), "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    os.environ["FARM_HOST"] = f"127.0.0.1:{json.loads(server.stdout.readline())['port']}"
    worker = subprocess.Popen([*FARM, "worker", "--quiet"])
    try:
        seconds, _ = timed("submit", str(directory / "count.yaml"))
        figures.append((f"submit {tasks:,} tasks", seconds, MAX_SECONDS, "s"))
        peak, status = watch(server.pid, tasks)
        figures.append(("server's memory, at most", peak, MAX_MEGABYTES, "MB"))
        rate = status["done"] / (status["ended"] - status["started"])
        figures.append(("tasks a second", rate, None, "/s"))
        size = sum(file.stat().st_size for file in (directory / "data").iterdir()) / 1e6
        figures.append(("journal", size, None, "MB"))
    finally:
        for process in (worker, server):
            process.terminate()
            process.wait()
    return figures


def watch(pid: int, tasks: int) -> tuple[float, dict[str, float]]:
    """The most memory a process takes until the last batch has ended, and the batch's status."""
    peak = 0.0
    while True:
        peak = max(peak, megabytes(pid))
        status = json.loads(timed("status", "last", "--json")[1])
        if status["done"] + status["failed"] == tasks:
            if status["failed"]:
                raise RuntimeError(f"{status['failed']:,} tasks have failed")
            return max(peak, megabytes(pid)), status


def main() -> int:
    """Measure, print, and tell whether every limit was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000_000)
    tasks = parser.parse_args().tasks
    with tempfile.TemporaryDirectory(prefix="farm-measure-") as name:
        os.environ["XDG_CONFIG_HOME"] = name  # a key of its own
        figures = [*run(Path(name), tasks), *measure_restart.figures(Path(name))]
    for what, value, limit, unit in figures:
        shown = f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"
        verdict = (
            "" if limit is None else f"  (limit {limit:g}: {'ok' if value < limit else 'MISSED'})"
        )
        print(f"{what:32} {shown:>12} {unit}{verdict}")
    return int(any(limit is not None and value >= limit for _, value, limit, _ in figures))


if __name__ == "__main__":
    sys.exit(main())
