"""A client that reads very many results as they come: what it and the node need in memory."""

from __future__ import annotations

import os

from benchmarks.case import OWN, Case, Measured, Must, Plan, WrongError
from benchmarks.cases.throughput import BATCH, PROCESSES
from benchmarks.cluster import Cluster, write_batch
from benchmarks.processes import peak_megabytes

TASKS = 10_000_000


def _farm(plan: Plan) -> Measured:
    """The client is this very process."""
    count = plan.of(TASKS)
    with Cluster(plan.directory, (PROCESSES,)) as cluster, cluster.session() as session:
        batch = session.submit(write_batch(plan.directory, BATCH.format(count)))
        total = sum(batch.results())
        if total != count * (count + 1) // 2:
            raise WrongError(f"the results of {count:,} tasks add up to {total:,}")
        return {
            "client": peak_megabytes(os.getpid()),
            "node": peak_megabytes(cluster.nodes[0].pid),
            "server": peak_megabytes(cluster.server.pid),
        }


CASE = Case(
    "memory",
    f"most memory while a client reads the results of {TASKS:,} tasks as they come",
    units={"client": "MB", "node": "MB", "server": "MB"},
    words={
        "client": f"the client's memory, at most, while it reads {TASKS:,} results",
        "node": "a node's memory meanwhile, at most",
    },
    sides={OWN: _farm},
    musts=(Must("client", most=300), Must("node", most=150)),
    repeats=1,
)
