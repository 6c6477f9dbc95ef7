"""`Pool.map` of a function that does nothing, with the chunks that each pool chooses."""

from __future__ import annotations

from typing import Any

from benchmarks.case import OWN, Case, Measured, Must, Plan
from benchmarks.peers import farm_pool, ray, standard
from benchmarks.stopwatch import rate_of_sum
from benchmarks.tasks import inc

CALLS = 1_000_000
PROCESSES = 2


def _measure(pool: Any, plan: Plan) -> Measured:
    return {"calls": rate_of_sum(plan.of(CALLS), lambda n: sum(pool.map(inc, range(n))))}


def _farm(plan: Plan) -> Measured:
    with farm_pool.pool(plan.directory, PROCESSES) as pool:
        return _measure(pool, plan)


def _pool(plan: Plan) -> Measured:
    with standard.pool(PROCESSES) as pool:
        return _measure(pool, plan)


def _ray(plan: Plan) -> Measured:
    with ray.pool(plan.directory, PROCESSES) as pool:
        return _measure(pool, plan)


CASE = Case(
    "map",
    f"Pool.map(inc, range({CALLS:,})), {PROCESSES} processes",
    units={"calls": "/s"},
    sides={OWN: _farm, "multiprocessing.Pool": _pool, "Ray Pool": _ray},
    musts=(Must("calls", "multiprocessing.Pool", least=0.4), Must("calls", "Ray Pool", least=3)),
)
