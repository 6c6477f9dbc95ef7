"""One task at a time, from the call to its result."""

from __future__ import annotations

from benchmarks.case import OWN, Case, Measured, Must, Plan
from benchmarks.peers import dask, farm_pool, ipyparallel, ray, standard
from benchmarks.stopwatch import latencies
from benchmarks.tasks import inc

CALLS = 1000
LEAST = 10
PROCESSES = 2


def _farm(plan: Plan) -> Measured:
    with farm_pool.pool(plan.directory, PROCESSES) as pool:
        return latencies(plan.of(CALLS, LEAST), lambda index: int(pool.apply(inc, (index,))))


def _pool(plan: Plan) -> Measured:
    with standard.pool(PROCESSES) as pool:
        return latencies(plan.of(CALLS, LEAST), lambda index: pool.apply(inc, (index,)))


def _ray(plan: Plan) -> Measured:
    with ray.started(plan.directory, PROCESSES) as started:
        remote = started.remote(inc)
        return latencies(
            plan.of(CALLS, LEAST), lambda index: int(started.get(remote.remote(index)))
        )


def _dask(plan: Plan) -> Measured:
    with dask.client(plan.directory, PROCESSES) as client:

        def call(index: int) -> int:
            return int(client.submit(inc, index, pure=False).result())

        return latencies(plan.of(CALLS, LEAST), call)


def _ipyparallel(plan: Plan) -> Measured:
    with ipyparallel.view(plan.directory, PROCESSES) as view:
        return latencies(plan.of(CALLS, LEAST), lambda index: int(view.apply_sync(inc, index)))


CASE = Case(
    "latency",
    f"{CALLS:,} calls of Pool.apply one after another",
    units={"p50": "ms", "p99": "ms"},
    sides={
        OWN: _farm,
        "multiprocessing.Pool": _pool,
        "Ray": _ray,
        "Dask": _dask,
        "ipyparallel": _ipyparallel,
    },
    musts=(
        Must("p50", "multiprocessing.Pool", most=2.5),
        Must("p50", "Ray", most=1 / 3),
        Must("p50", "Dask"),
        Must("p50", "ipyparallel"),
        Must("p99", most=5),
    ),
)
