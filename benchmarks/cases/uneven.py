"""Tasks of very uneven length: how long all of them take, beside the least that they can."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.case import OWN, Case, Map, Measured, Must, Plan, WrongError
from benchmarks.cluster import Cluster, write_batch
from benchmarks.listing import greedy, lengths
from benchmarks.peers.offers import MAPS, sides
from benchmarks.tasks import nap

TASKS = 400
LEAST = 16
NODES = (4, 4)
SLOTS = sum(NODES)
NOISE = 1.01
"""What one run differs from another on a quiet machine."""

WARM_SECONDS = [0.1] * 3 * SLOTS
"""Naps that have all processes of every side started and warm."""


def _measure(run: Map, plan: Plan) -> Measured:
    naps = lengths(plan.of(TASKS, LEAST))
    run(nap, WARM_SECONDS)
    began = time.perf_counter()
    results = run(nap, naps)
    seconds = time.perf_counter() - began
    if results != naps:
        raise WrongError(f"{len(naps)} naps gave other results")
    return {"makespan": seconds, "of the ideal": seconds / greedy(naps, SLOTS)}


def _farm(plan: Plan) -> Measured:
    with Cluster(plan.directory, NODES) as cluster, cluster.session() as session:

        def run(function: Callable[[Any], Any], naps: Sequence[Any]) -> list[Any]:
            what = f"name: naps\npython: tasks.py:{function.__name__}\n"
            params = f"params: {{zip: {{seconds: {json.dumps(naps)}}}}}\n"
            path = write_batch(plan.directory, what + params)
            return list(session.submit(path).results())

        return _measure(run, plan)


CASE = Case(
    "uneven",
    f"{TASKS} naps of 5 ms to 2 s, log-normal, on {SLOTS} slots of {len(NODES)} nodes",
    units={"makespan": "s", "of the ideal": ""},
    words={
        "makespan": f"{TASKS} tasks of 5 ms to 2 s on {SLOTS} slots of {len(NODES)} nodes",
        "of the ideal": "the same, beside the least that it can take in that order",
    },
    sides={OWN: _farm, **sides(MAPS, SLOTS, _measure)},
    musts=(
        *(Must("makespan", peer, most=NOISE) for peer in MAPS),
        Must("of the ideal", most=1.05),
    ),
)
