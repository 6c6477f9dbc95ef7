"""A hundred million tasks in one batch: what they cost the server, from first to last."""

from __future__ import annotations

import os
import time

from benchmarks.case import OWN, Case, Measured, Must, Plan, WrongError
from benchmarks.cases.throughput import BATCH, PROCESSES
from benchmarks.cluster import Cluster, write_batch
from benchmarks.processes import peak_megabytes
from benchmarks.progress import Look, rate_between
from farm.client.batch import Batch

LOOK_SECONDS = 0.1


def _farm(plan: Plan) -> Measured:
    count = plan.of(plan.huge)
    with Cluster(plan.directory, (PROCESSES,)) as cluster, cluster.session() as session:
        path = write_batch(plan.directory, BATCH.format(count))
        began = time.perf_counter()
        batch = session.submit(path)
        submitted = time.perf_counter() - began
        looks, kept = _watched(batch, count, began, cluster)
        return {
            "submission": submitted,
            "tasks": rate_between(looks, 0, count),
            "server's memory": peak_megabytes(cluster.server.pid),
            "last tenth of first": _tenth(looks, count, 9) / _tenth(looks, count, 0),
            "data directory": kept,
            "client's memory": peak_megabytes(os.getpid()),
        }


def _watched(batch: Batch, count: int, began: float, cluster: Cluster) -> tuple[list[Look], float]:
    """How many tasks were done when, from first to last, and the most megabytes kept."""
    looks: list[Look] = [(0.0, 0)]
    kept = 0.0
    while True:
        status = batch.status(LOOK_SECONDS)
        looks.append((time.perf_counter() - began, status.done))
        kept = max(kept, cluster.megabytes_kept())
        if status.over:
            break
    if status.done != count:
        raise WrongError(f"{status.done:,} of {count:,} tasks are done")
    return looks, kept


def _tenth(looks: list[Look], count: int, tenth: int) -> float:
    return rate_between(looks, tenth * count / 10, (tenth + 1) * count / 10)


CASE = Case(
    "huge",
    "100,000,000 tasks that do nothing in one batch (or as many as --huge-tasks says)",
    units={
        "submission": "s",
        "tasks": "/s",
        "server's memory": "MB",
        "last tenth of first": "",
        "data directory": "MB",
        "client's memory": "MB",
    },
    words={
        "submission": "a batch of 100,000,000 tasks: until it is taken",
        "server's memory": "the server's memory, at most, until all are done",
        "last tenth of first": "the last tenth of those tasks, in tasks a second, beside the first",
        "data directory": "the server's data directory, at most",
    },
    sides={OWN: _farm},
    musts=(
        Must("submission", most=1),
        Must("server's memory", most=200),
        Must("last tenth of first", least=0.9),
        Must("data directory", most=1500),
    ),
    repeats=1,
)
