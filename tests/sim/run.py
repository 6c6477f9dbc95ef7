"""Run many simulated worlds: ``python -m sim.run --seeds 2000``; a failing one prints its trace."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from sim.client import Broken
from sim.world import World

TRACE_LINES = 150


def run_one(seed: int) -> tuple[str | None, Counter[str]]:
    """One world: what broke, with the trace, and the counts of what was done to it."""
    world = World(seed)
    reason: str | None = None
    try:
        world.run()
    except (Broken, AssertionError) as error:
        trace = "\n".join(world.lines[-TRACE_LINES:])
        reason = (
            f"seed {seed}: {error}\n{trace}\n"
            f"seed {seed}: {error}\nonce more: scripts/chaos --simulate 1 --seed {seed}"
        )
    world.disk.db.close()
    counts = world.counts + Counter(
        worlds=1,
        tasks=sum(watched.plan.total for watched in world.batches),
        executions=sum(world.executions.values()),
    )
    return reason, counts


def run_some(seeds: range) -> tuple[list[str], Counter[str]]:
    """Several worlds: what broke, and the counts of all."""
    logging.disable(logging.CRITICAL)
    broken: list[str] = []
    total: Counter[str] = Counter()
    for seed in seeds:
        reason, counts = run_one(seed)
        total += counts
        if reason is not None:
            broken.append(reason)
    return broken, total


def run_all(first: int, count: int, processes: int) -> tuple[list[str], Counter[str]]:
    """Worlds ``first`` to ``first + count - 1``, on several processes."""
    step = max(1, min(100, -(-count // processes)))
    parts = [range(at, min(at + step, first + count)) for at in range(first, first + count, step)]
    if processes == 1 or len(parts) == 1:
        results = map(run_some, parts)
        return _together(results)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return _together(pool.map(run_some, parts))


def _together(results) -> tuple[list[str], Counter[str]]:
    broken: list[str] = []
    total: Counter[str] = Counter()
    for some, counts in results:
        broken += some
        total += counts
    return broken, total


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many worlds")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    began = time.monotonic()
    broken, counts = run_all(options.seed, options.seeds, options.processes)
    for reason in broken[:3]:
        print(reason, end="\n\n")
    took = time.monotonic() - began
    shown = [f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(counts.items())]
    print(", ".join(shown))
    last = options.seed + options.seeds - 1
    print(f"seeds {options.seed} to {last} in {took:.1f} s: {len(broken)} broke a promise")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
