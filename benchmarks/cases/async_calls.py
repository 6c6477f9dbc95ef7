"""Many separate calls, all begun before the first result is asked for."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Map, Measured, Must, Plan
from benchmarks.peers.offers import MAPS, POOLS, sides
from benchmarks.stopwatch import rate_of_sum
from benchmarks.tasks import inc

CALLS = 10_000
PROCESSES = 2


def _pool(pool: Any, plan: Plan) -> Measured:
    def run(count: int) -> int:
        begun = [pool.apply_async(inc, (index,)) for index in range(count)]
        return sum(one.get() for one in begun)

    return {"calls": rate_of_sum(plan.of(CALLS), run)}


def _tasks(run: Map, plan: Plan) -> Measured:
    return {"calls": rate_of_sum(plan.of(CALLS), lambda count: sum(run(inc, range(count))))}


CASE = Case(
    "async",
    f"{CALLS:,} calls of Pool.apply_async, then all their get(), {PROCESSES} processes",
    units={"calls": "/s"},
    words={"calls": f"{CALLS:,} separate calls of `Pool.apply_async`"},
    sides={
        **sides(POOLS, PROCESSES, _pool),
        **sides({"Ray": MAPS["Ray"]}, PROCESSES, _tasks),
    },
    musts=(
        Must("calls", "multiprocessing.Pool", least=0.5),
        Must("calls", "Ray", least=10),
        Must("calls", "Ray Pool"),
    ),
)
