"""One task at a time, from the call to its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.case import Case, Map, Measured, Must, Plan
from benchmarks.peers import dask, ipyparallel, ray
from benchmarks.peers.offers import MAPS, POOLS, sides
from benchmarks.stopwatch import latencies
from benchmarks.tasks import inc

CALLS = 1000
LEAST = 10
PROCESSES = 2


def _call(call: Callable[[int], Any], plan: Plan) -> Measured:
    return latencies(plan.of(CALLS, LEAST), lambda index: int(call(index)))


def _pool(pool: Any, plan: Plan) -> Measured:
    return _call(lambda index: pool.apply(inc, (index,)), plan)


def _task(run: Map, plan: Plan) -> Measured:
    return _call(lambda index: run(inc, (index,))[0], plan)


def _dask(client: Any, plan: Plan) -> Measured:
    return _call(lambda index: client.submit(inc, index, pure=False).result(), plan)


def _ipyparallel(view: Any, plan: Plan) -> Measured:
    return _call(lambda index: view.apply_sync(inc, index), plan)


CASE = Case(
    "latency",
    f"{CALLS:,} calls of Pool.apply one after another",
    units={"p50": "ms", "p99": "ms"},
    words={
        "p50": "one call of `Pool.apply`, until its result is there: median",
        "p99": "the same: 99th percentile",
    },
    sides={
        **sides(POOLS, PROCESSES, _pool),
        **sides({"Ray": MAPS["Ray"]}, PROCESSES, _task),
        **sides({"Ray actor": ray.actor}, PROCESSES, _call),
        **sides({"Dask": dask.client}, PROCESSES, _dask),
        **sides({"ipyparallel": ipyparallel.view}, PROCESSES, _ipyparallel),
    },
    musts=(
        Must("p50", "multiprocessing.Pool", most=2.5),
        Must("p50", "Ray", most=1 / 3),
        *(Must("p50", peer) for peer in ("Ray actor", "Ray Pool", "Dask", "ipyparallel")),
        Must("p99", most=5),
    ),
)
