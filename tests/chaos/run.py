"""What `scripts/chaos` runs: harm to a farm of real processes, then a count. Also for the tests."""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chaos import counts
from chaos.acts import Scale, Stage
from chaos.processes import BrokenError, Farm
from farm.errors import FarmError

SWITCH_SECONDS = 0.0002
"""Between threads: harm that waits for a message must not wait for a thread that counts."""

FULL = Scale(
    first=16_000,
    nap=0.002,
    submissions=6,
    first_plan={
        "server killed as it answers": 6,
        "server killed": 2,
        "node cut off": 6,
        "node stalled": 2,
    },
    short=200_000,
    long=500,
    plans=(
        {
            "slot killed": 9,
            "node killed": 6,
            "server killed": 4,
            "server killed as it answers": 4,
            "node frozen": 3,
            "node and slots frozen": 3,
            "node cut off": 8,
            "node stalled": 4,
            "client cut off": 5,
            "client stalled": 2,
        },
        {"node killed": 1},  # no new server comes after it, for which nothing is leased
    ),
)


def short(seed: int) -> Scale:
    """A run of half a minute, with one of the two ways to freeze a node.

    The server dies before nodes do: one that is started again has forgotten all leases, and would
    hide that they are not given back. The rest happens while the frozen node is given up.
    """
    return Scale(
        first=1_800,
        nap=0.005,
        submissions=1,
        first_plan={"server killed as it answers": 2, "node cut off": 2},
        short=8_000,
        long=30,
        plans=(
            {"server killed": 1},
            {("node frozen", "node and slots frozen")[seed % 2]: 1},
            {"node killed": 1},
            {
                "slot killed": 1,
                "node cut off": 1,
                "node stalled": 1,
                "client cut off": 1,
                "client stalled": 1,
            },
        ),
        patience=20.0,
    )


COUNT_SECONDS = 120.0
"""What stopping and counting may take, beyond the bound for all else."""


@dataclass
class Report:
    """What was done, and what came of it.

    Args:
        seed: what the harm was chosen with.
    """

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def text(self) -> str:
        """For people."""
        done = [f"  {count:4} {kind}" for kind, count in sorted(self.faults.items())]
        verdict = [f"BROKEN: {problem}" for problem in self.problems] or ["Everything held."]
        head = f"seed {self.seed}, {self.seconds:.0f} s, {self.faults.total()} faults:"
        return "\n".join([head, *done, *self.lines, *verdict])


def run(
    directory: Path, seed: int, scale: Scale, seconds: float, say: Callable[[str], None]
) -> Report:
    """Do harm, then count.

    Args:
        directory: an empty one; it stays.
        seed: chooses the harm. Not its effects: they depend on the moment.
        scale: how much.
        seconds: after which what is not done is taken for lost.
        say: tells a person how it goes.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    report = Report(seed)
    began = time.monotonic()
    farm = Farm(directory)
    try:
        _play(farm, scale, seconds, say, report)
    finally:
        farm.close()
        sys.setswitchinterval(interval)
    report.seconds = time.monotonic() - began
    return report


def _play(
    farm: Farm, scale: Scale, seconds: float, say: Callable[[str], None], report: Report
) -> None:
    stage = Stage(farm, random.Random(report.seed), scale, seconds, say, report.faults)
    try:
        stage.nothing_twice()
        stage.everything()
        with farm.session() as session:
            for batch in stage.batches:
                report.problems += counts.through_client(session, batch)
        farm.check()
    except (BrokenError, FarmError) as error:
        report.problems.append(str(error))
    finally:
        stage.close()
    try:
        farm.stop()
    except BrokenError as error:
        report.problems.append(str(error))
    if left := farm.left():
        report.problems.append(f"{len(left)} processes are left: {sorted(left)}")
    _count(farm, stage, report)


def _count(farm: Farm, stage: Stage, report: Report) -> None:
    """Count what the journal and the tasks themselves have written."""
    for act, batches in (("one node", stage.once), ("two nodes", stage.often)):
        again = 0
        for batch in batches:
            report.problems += counts.in_journal(farm.data, batch)
            times = counts.executions(batch)
            report.problems += counts.of_executions(batch.name, times, once=batch in stage.once)
            again += sum(count - 1 for count in times if count)
        total = sum(batch.total for batch in batches)
        seen = sum(len(batch.seen) for batch in batches)
        report.lines.append(
            f"{act}: {total:,} tasks in {len(batches)} batches, {seen:,} seen by the client as "
            f"they came, {again:,} executions beyond one a task"
        )


def _too_late(*_: object) -> None:
    raise BrokenError("something waits for ever")


def main() -> int:
    """Run, print, and tell whether everything held."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="chooses the harm; random if not given")
    parser.add_argument("--seconds", type=float, default=900.0, help="the bound (%(default)g)")
    parser.add_argument("--short", action="store_true", help="what the tests run, half a minute")
    parser.add_argument(
        "--simulate", type=int, metavar="N", help="simulate instead, with N seeds from --seed on"
    )
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # they end what was started, too
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, given.seconds + COUNT_SECONDS)
    if given.simulate is not None:
        line = [sys.executable, "-m", "sim.run", "--seeds", str(given.simulate)]
        os.execv(line[0], line if given.seed is None else [*line, "--seed", str(given.seed)])
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    logging.getLogger("farm.client").setLevel(logging.ERROR)  # it loses its connection on purpose
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    directory = Path(tempfile.mkdtemp(prefix="farm-chaos-"))
    try:
        report = run(directory, seed, short(seed) if given.short else FULL, given.seconds, say)
    except SystemExit:
        shutil.rmtree(directory)
        raise
    print(report.text())
    if report.problems:
        print(f"What the processes said, and the journal: {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
