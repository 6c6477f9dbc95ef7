"""Very many tasks that do nothing: tasks a second, from submission to the last result."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from benchmarks.case import OWN, WARM, Case, Measured, Must, Plan
from benchmarks.cluster import Cluster, write_batch
from benchmarks.peers import dask, ipyparallel, joblib, ray, standard
from benchmarks.stopwatch import rate_of_sum
from benchmarks.tasks import inc

TASKS = 4_000_000
FEWER = {"joblib": 8, "ray": 4, "ipyparallel": 8, "dask": 400}
"""So many times fewer for peers that would take minutes."""

CHUNK = 1000
POOL_CHUNKS = (1000, 10_000, 100_000)
PROCESSES = 2

BATCH = "name: noop\npython: tasks.py:inc\nparams: {{count: {}}}\n"


def _farm(plan: Plan) -> Measured:
    with Cluster(plan.directory, (PROCESSES,)) as cluster, cluster.session() as session:
        list(session.submit(write_batch(plan.directory, BATCH.format(WARM))).results())
        count = plan.of(TASKS)
        path = write_batch(plan.directory, BATCH.format(count))
        return {"tasks": rate_of_sum(count, lambda _: sum(session.submit(path).results()))}


def _pool(plan: Plan) -> Measured:
    with standard.pool(PROCESSES) as pool:
        count = plan.of(TASKS)
        rates = [rate_of_sum(count, partial(_summed, pool, chunk)) for chunk in POOL_CHUNKS]
        return {"tasks": max(rates)}


def _summed(pool: Any, chunk: int, count: int) -> int:
    """Both pools that have this method are used alike."""
    return sum(pool.imap_unordered(inc, range(count), chunk))


def _fewer(plan: Plan, peer: str) -> int:
    return plan.of(TASKS // FEWER[peer], WARM)


def _joblib(plan: Plan) -> Measured:
    with joblib.runner(PROCESSES) as run:
        return {"tasks": rate_of_sum(_fewer(plan, "joblib"), lambda n: sum(run(inc, range(n))))}


def _ray(plan: Plan) -> Measured:
    with ray.pool(plan.directory, PROCESSES) as pool:
        return {"tasks": rate_of_sum(_fewer(plan, "ray"), partial(_summed, pool, CHUNK))}


def _ipyparallel(plan: Plan) -> Measured:
    with ipyparallel.view(plan.directory, PROCESSES) as view:

        def run(count: int) -> int:
            return sum(view.map_sync(inc, range(count), chunksize=CHUNK))

        return {"tasks": rate_of_sum(_fewer(plan, "ipyparallel"), run)}


def _dask(plan: Plan) -> Measured:
    with dask.client(plan.directory, PROCESSES) as client:

        def run(count: int) -> int:
            return sum(_gathered(client, range(count)))

        return {"tasks": rate_of_sum(_fewer(plan, "dask"), run)}


def _gathered(client: Any, items: Iterable[int]) -> list[int]:
    results: list[int] = client.gather(client.map(inc, items, pure=False, batch_size=CHUNK))
    return results


CASE = Case(
    "throughput",
    f"a batch of {TASKS:,} tasks that do nothing, {PROCESSES} processes, submit to last result",
    units={"tasks": "/s"},
    sides={
        OWN: _farm,
        "multiprocessing.Pool": _pool,
        "joblib": _joblib,
        "Ray Pool": _ray,
        "ipyparallel": _ipyparallel,
        "Dask": _dask,
    },
    musts=(
        Must("tasks", "multiprocessing.Pool", least=0.6, aim=0.9),
        *(Must("tasks", peer) for peer in ("joblib", "Ray Pool", "ipyparallel", "Dask")),
    ),
)
