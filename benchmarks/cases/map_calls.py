"""`Pool.map` of a function that does nothing, with the chunks that each pool chooses."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Measured, Must, Plan
from benchmarks.peers.offers import POOLS, sides
from benchmarks.stopwatch import rate_of_sum
from benchmarks.tasks import inc

CALLS = 1_000_000
PROCESSES = 2


def _measure(pool: Any, plan: Plan) -> Measured:
    return {"calls": rate_of_sum(plan.of(CALLS), lambda n: sum(pool.map(inc, range(n))))}


CASE = Case(
    "map",
    f"Pool.map(inc, range({CALLS:,})), {PROCESSES} processes",
    units={"calls": "/s"},
    words={"calls": f"`Pool.map` over {CALLS:,} numbers"},
    sides=sides(POOLS, PROCESSES, _measure),
    musts=(Must("calls", "multiprocessing.Pool", least=0.4), Must("calls", "Ray Pool", least=3)),
)
