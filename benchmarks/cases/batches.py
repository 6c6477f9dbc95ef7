"""Very many batches queued at once: how long a node waits for its next lease."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.bare_node import BareNode
from benchmarks.case import OWN, Case, Measured, Must, Plan
from benchmarks.cases.throughput import BATCH
from benchmarks.cluster import Cluster, write_batch
from benchmarks.stopwatch import in_milliseconds
from farm.client.session import Session
from farm.client.submission import load_file

BATCHES = 10_000
FEW = 10
TASKS = 10
ROUNDS = 100
"""As often few batches are queued and leased out, so that there is a 99th percentile."""

LEAST = 2


def _farm(plan: Plan) -> Measured:
    with Cluster(plan.directory, ()) as cluster, cluster.session() as session:
        path = write_batch(plan.directory, BATCH.format(TASKS))
        with BareNode(cluster.address, cluster.key) as node:
            few = [
                taken
                for _ in range(plan.of(ROUNDS, LEAST))
                for taken in _leased_out(session, path, node, FEW)
            ]
            many = in_milliseconds(_leased_out(session, path, node, plan.of(BATCHES, FEW)))
        beside = in_milliseconds(few)
    return {
        "p50": many["p50"],
        "p99": many["p99"],
        "p50, 10 queued": beside["p50"],
        "p99, 10 queued": beside["p99"],
        "p50 of that of 10": many["p50"] / beside["p50"],
        "p99 of that of 10": many["p99"] / beside["p99"],
    }


def _leased_out(session: Session, path: Path, node: BareNode, queued: int) -> list[float]:
    """Seconds of each lease, until so many batches, queued before the first, have none left."""
    loaded = load_file(path)
    left = queued * TASKS
    for _ in range(queued):
        session.submit(loaded)
        node.stay()
    taken = []
    while left:
        began = time.perf_counter()
        lease = node.lease()
        taken.append(time.perf_counter() - began)
        left -= node.report(lease)
    return taken


CASE = Case(
    "batches",
    f"{BATCHES:,} batches of {TASKS} tasks queued at once: from a node's Want to its Lease",
    units=dict.fromkeys(("p50", "p99", "p50, 10 queued", "p99, 10 queued"), "ms")
    | {"p50 of that of 10": "", "p99 of that of 10": ""},
    words={
        "p99": f"a node's wait for a lease, {BATCHES:,} batches queued: 99th percentile",
        "p50 of that of 10": f"the same, beside {FEW} batches queued: median",
        "p99 of that of 10": f"the same, beside {FEW} batches queued: 99th percentile",
    },
    sides={OWN: _farm},
    musts=(Must("p99", most=20), Must("p50 of that of 10"), Must("p99 of that of 10")),
)
