"""Many separate calls, all begun before the first result is asked for."""

from __future__ import annotations

from typing import Any

from benchmarks.case import OWN, Case, Measured, Must, Plan
from benchmarks.peers import farm_pool, ray, standard
from benchmarks.stopwatch import rate_of_sum
from benchmarks.tasks import inc

CALLS = 10_000
PROCESSES = 2


def _measure(pool: Any, plan: Plan) -> Measured:
    def run(count: int) -> int:
        begun = [pool.apply_async(inc, (index,)) for index in range(count)]
        return sum(one.get() for one in begun)

    return {"calls": rate_of_sum(plan.of(CALLS), run)}


def _farm(plan: Plan) -> Measured:
    with farm_pool.pool(plan.directory, PROCESSES) as pool:
        return _measure(pool, plan)


def _pool(plan: Plan) -> Measured:
    with standard.pool(PROCESSES) as pool:
        return _measure(pool, plan)


def _ray(plan: Plan) -> Measured:
    with ray.started(plan.directory, PROCESSES) as started:
        remote = started.remote(inc)

        def run(count: int) -> int:
            return sum(started.get([remote.remote(index) for index in range(count)]))

        return {"calls": rate_of_sum(plan.of(CALLS), run)}


CASE = Case(
    "async",
    f"{CALLS:,} calls of Pool.apply_async, then all their get(), {PROCESSES} processes",
    units={"calls": "/s"},
    sides={OWN: _farm, "multiprocessing.Pool": _pool, "Ray": _ray},
    musts=(Must("calls", "multiprocessing.Pool", least=0.5), Must("calls", "Ray", least=10)),
)
