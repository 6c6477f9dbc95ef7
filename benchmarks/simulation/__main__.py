"""What `scripts/simulate` runs."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.simulation import printing
from benchmarks.simulation.extrapolation import Check, Costs, checked, costs_of, reaches
from benchmarks.simulation.figures import Figures
from benchmarks.simulation.scenarios import QUEUED_P99, Account, Options, queued, rising
from farm.errors import FarmError

NODES = (10, 100, 1000)


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/simulate", description="Many nodes without work, against a real server."
    )
    parser.add_argument("--nodes", type=int, action="append", help="how many; may be repeated")
    parser.add_argument("--seconds", type=float, default=5.0, help="that each phase is measured")
    parser.add_argument("--task-seconds", type=float, default=1.0, help="that a task takes in life")
    parser.add_argument("--slots", type=int, default=4, help="of each node")
    parser.add_argument(
        "--processes", type=int, default=max(1, (os.cpu_count() or 2) - 1),
        help="that the nodes are shared by; one for each core but the server's if not given",
    )  # fmt: skip
    parser.add_argument(
        "--batches", type=int,
        help="that wait at once for a hundred nodes; 10,000 if not given, none with --nodes",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    return parser.parse_args()


class Run:
    """All scenarios; prints each phase as it is over.

    Args:
        options: see there.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self.figures: list[Figures] = []
        self.accounts: dict[int, Account] = {}
        self.problems: list[str] = []

    def rising(self, nodes: int) -> None:
        """So many nodes in all phases."""
        for found in rising(nodes, self._options):
            if isinstance(found, Figures):
                self._tell(found)
                continue
            self.accounts[nodes] = found
            if not found.holds:
                self.problems.append(f"with {nodes:,} nodes the tasks do not add up: {found}")

    def queued(self) -> None:
        """Very many batches at once."""
        for found in queued(self._options):
            self._tell(found)
            if found.lease_p99 >= QUEUED_P99:
                self.problems.append(
                    f"with {self._options.batches:,} batches a lease took {found.lease_p99:.1f} ms "
                    f"(p99); the limit is {QUEUED_P99:g}"
                )

    def _tell(self, found: Figures) -> None:
        self.figures.append(found)
        print(f"  {found.nodes:,} nodes: {printing.PHASES[found.phase]}", file=sys.stderr)

    def costs(self) -> list[Costs]:
        """With each number of nodes."""
        by_name: dict[int, dict[str, Figures]] = {}
        for found in self.figures:
            if found.nodes in self.accounts:
                by_name.setdefault(found.nodes, {}).setdefault(found.phase, found)
        return [costs_of(phases) for _, phases in sorted(by_name.items())]

    def checks(self) -> Iterator[Check]:
        """What the costs with one number of nodes say of the next one."""
        known = self.costs()
        for costs, following in itertools.pairwise(known):
            phases = [found for found in self.figures if found.nodes == following.nodes]
            yield from checked(phases, costs)

    def text(self) -> str:
        """All of it, for people."""
        parts = [printing.table(printing.HEADINGS, map(printing.row, self.figures))]
        parts += [
            text
            for limit, text in printing.LIMITS.items()
            if any(found.limit == limit for found in self.figures)
        ]
        parts += [f"{nodes:,} nodes: {found}." for nodes, found in self.accounts.items()]
        for costs in self.costs()[-1:]:
            parts += [printing.costs_text(costs), printing.reaches_text(reaches(costs))]
        parts.append(printing.checks_text(self.checks()))
        parts += self.problems or ["Everything held."]
        return "\n\n".join(filter(None, parts))

    def document(self) -> dict[str, Any]:
        """All of it, for programs."""
        costs = self.costs()
        return {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "options": dataclasses.asdict(self._options),
            "figures": [dataclasses.asdict(f) | {"limit": f.limit} for f in self.figures],
            "accounts": [
                dataclasses.asdict(found) | {"nodes": nodes, "holds": found.holds}
                for nodes, found in self.accounts.items()
            ],
            "costs": [dataclasses.asdict(each) for each in costs],
            "reaches": [
                dataclasses.asdict(reach) for each in costs[-1:] for reach in reaches(each)
            ],
            "checks": [dataclasses.asdict(check) for check in self.checks()],
            "problems": self.problems,
        }


def main() -> int:
    """Simulate, print, and tell whether everything held."""
    asked = arguments()
    batches = asked.batches if asked.batches is not None else 0 if asked.nodes else 10_000
    options = Options(asked.seconds, asked.task_seconds, asked.slots, asked.processes, batches)
    run = Run(options)
    try:
        for nodes in asked.nodes or NODES:
            run.rising(nodes)
        if batches:
            run.queued()
    except FarmError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(run.text())
    if asked.json:
        asked.json.write_text(json.dumps(run.document(), indent=2) + "\n")
    return int(bool(run.problems))


if __name__ == "__main__":
    sys.exit(main())
