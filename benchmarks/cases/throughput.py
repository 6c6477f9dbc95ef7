"""Very many tasks that do nothing: tasks a second, from submission to the last result.

Each peer is given the best of several sizes of chunks, but joblib, which chooses them as it runs.
Ray's and Dask's tasks have none: there one side is what their documentation advises, a task that
does very many things (Ray Core, Design Patterns, "Over-parallelizing with too fine-grained tasks";
Dask, Best Practices, "Avoid Very Large Graphs"), though its results must be taken apart by hand.
"""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

from benchmarks.case import OWN, WARM, Case, Map, Measured, Must, Plan
from benchmarks.cluster import Cluster, write_batch
from benchmarks.peers import ipyparallel, joblib
from benchmarks.peers.offers import MAPS, POOLS, sides
from benchmarks.stopwatch import rate_of_sum
from benchmarks.tasks import inc, packed

TASKS = 4_000_000
FEWER = {"joblib": 8, "ray": 4, "ipyparallel": 8, "dask": 400}
"""So many times fewer for peers that would take minutes."""

CHUNKS = (1000, 10_000, 100_000)
PROCESSES = 2

BATCH = "name: noop\npython: tasks.py:inc\nparams: {{count: {}}}\n"


def _farm(plan: Plan) -> Measured:
    with Cluster(plan.directory, (PROCESSES,)) as cluster, cluster.session() as session:
        list(session.submit(write_batch(plan.directory, BATCH.format(WARM))).results())
        count = plan.of(TASKS)
        path = write_batch(plan.directory, BATCH.format(count))
        return {"tasks": rate_of_sum(count, lambda _: sum(session.submit(path).results()))}


def _fewer(plan: Plan, peer: str) -> int:
    return plan.of(TASKS // FEWER[peer], WARM)


def _pool(pool: Any, plan: Plan) -> Measured:
    return _best(pool, plan.of(TASKS))


def _ray_pool(pool: Any, plan: Plan) -> Measured:
    return _best(pool, _fewer(plan, "ray"))


def _best(pool: Any, count: int) -> Measured:
    def run(chunk: int, count: int) -> int:
        return sum(pool.imap_unordered(inc, range(count), chunk))

    return {"tasks": max(rate_of_sum(count, partial(run, chunk)) for chunk in CHUNKS)}


def _ipyparallel(view: Any, plan: Plan) -> Measured:
    def run(chunk: int, count: int) -> int:
        return sum(view.map_sync(inc, range(count), chunksize=chunk))

    count = _fewer(plan, "ipyparallel")
    return {"tasks": max(rate_of_sum(count, partial(run, chunk)) for chunk in CHUNKS)}


def _one_by_one(peer: str, run: Map, plan: Plan) -> Measured:
    return {"tasks": rate_of_sum(_fewer(plan, peer), lambda count: sum(run(inc, range(count))))}


def _in_chunks(run: Map, plan: Plan) -> Measured:
    def summed(chunk: int, count: int) -> int:
        parts = [range(first, min(first + chunk, count)) for first in range(0, count, chunk)]
        # What this run's own processes have pickled.
        return sum(sum(pickle.loads(part)) for part in run(packed, parts))  # noqa: S301

    count = plan.of(TASKS)
    return {"tasks": max(rate_of_sum(count, partial(summed, chunk)) for chunk in CHUNKS)}


CASE = Case(
    "throughput",
    f"a batch of {TASKS:,} tasks that do nothing, {PROCESSES} processes, submit to last result",
    units={"tasks": "/s"},
    words={"tasks": f"a batch of {TASKS:,} tasks that do nothing"},
    sides={
        OWN: _farm,
        **sides({"multiprocessing.Pool": POOLS["multiprocessing.Pool"]}, PROCESSES, _pool),
        **sides({"joblib": joblib.batching}, PROCESSES, partial(_one_by_one, "joblib")),
        **sides({"Ray Pool": POOLS["Ray Pool"]}, PROCESSES, _ray_pool),
        **sides({"Ray, chunks made by hand": MAPS["Ray"]}, PROCESSES, _in_chunks),
        **sides({"ipyparallel": ipyparallel.view}, PROCESSES, _ipyparallel),
        **sides({"Dask": MAPS["Dask"]}, PROCESSES, partial(_one_by_one, "dask")),
        **sides({"Dask, chunks made by hand": MAPS["Dask"]}, PROCESSES, _in_chunks),
    },
    musts=(
        Must("tasks", "multiprocessing.Pool", least=0.6, aim=0.9),
        Must("tasks", "joblib"),
        Must("tasks", "Ray Pool"),
        Must("tasks", "Ray, chunks made by hand"),
        Must("tasks", "ipyparallel"),
        Must("tasks", "Dask"),
        Must("tasks", "Dask, chunks made by hand"),
    ),
)
