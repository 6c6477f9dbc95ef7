"""What farm costs while it does nothing, and before it does something."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from benchmarks.case import OWN, Case, Measured, Must, Plan
from benchmarks.cases.throughput import PROCESSES
from benchmarks.cluster import PART, Cluster, environment
from benchmarks.processes import cpu_seconds, marked
from benchmarks.stopwatch import seconds_of

WATCH_SECONDS = 20
STARTS = 15
LEAST = 2

SETTLE_SECONDS = 2.0
"""After a node has joined, until what it starts with has ended."""

BARE_APP = '''\
import typer

app = typer.Typer()


@app.command()
def first(name: str) -> None:
    """The first."""


@app.command()
def second(count: int = 1) -> None:
    """The second."""


app()
'''


def _farm(plan: Plan) -> Measured:
    return {**_idle_shares(plan), **_starts(plan)}


def _idle_shares(plan: Plan) -> Measured:
    """Percent of one CPU, of each command with all that it has started."""
    with Cluster(plan.directory, (PROCESSES,)):
        time.sleep(SETTLE_SECONDS * plan.scale)
        before = {part: _used(part) for part in ("server", "node-0")}
        began = time.perf_counter()
        time.sleep(plan.of(WATCH_SECONDS))
        seconds = time.perf_counter() - began
        used = {part: _used(part) - before[part] for part in before}
    return {"server": 100 * used["server"] / seconds, "node": 100 * used["node-0"] / seconds}


def _used(part: str) -> float:
    return sum(cpu_seconds(pid) for pid in marked(f"{PART}={part}"))


def _starts(plan: Plan) -> Measured:
    """Medians of the time of each command, started in turn."""
    bare = plan.directory / "bare.py"
    bare.write_text(BARE_APP, encoding="utf-8")
    lines = {
        "farm --help": ["-m", "farm", "--help"],
        "bare --help": [str(bare), "--help"],
        "import farm": ["-c", "import farm"],
        "nothing": ["-c", "pass"],
    }
    taken: dict[str, list[float]] = {name: [] for name in lines}
    for _ in range(plan.of(STARTS, LEAST)):
        for name, line in lines.items():
            taken[name].append(seconds_of(partial(_run, line, plan.directory)))
    found = {name: 1e3 * statistics.median(times) for name, times in taken.items()}
    return {
        **found,
        "help of bare help": found["farm --help"] / found["bare --help"],
        "import beyond nothing": found["import farm"] - found["nothing"],
    }


def _run(arguments: list[str], directory: Path) -> None:
    subprocess.run(
        [sys.executable, *arguments],
        cwd=directory, env=environment(directory), stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip


CASE = Case(
    "idle",
    f"CPU in {WATCH_SECONDS} s without work, {PROCESSES} slots; time of commands",
    units={
        "server": "%",
        "node": "%",
        "farm --help": "ms",
        "bare --help": "ms",
        "import farm": "ms",
        "nothing": "ms",
        "help of bare help": "",
        "import beyond nothing": "ms",
    },
    words={
        "server": "the server's CPU without work",
        "node": f"a node's CPU without work, {PROCESSES} slots",
        "help of bare help": "`farm --help`, beside that of a program of two commands",
        "import beyond nothing": "`import farm`, beyond what Python takes to start",
    },
    sides={OWN: _farm},
    musts=(
        Must("server", most=0.5),
        Must("node", most=0.5),
        Must("help of bare help", most=1.6),
        Must("import beyond nothing", most=60),
    ),
)
