"""Large arguments and large results: bytes a second in both directions together.

For each side the arguments are made by the client before time is taken, none is like another, none
compresses, and all results are with the client, to the last byte, when it is taken again. Only farm
writes them to a disk, both ways: so its figure is put beside what that disk takes as well.
"""

from __future__ import annotations

import random
import time

from benchmarks import disk
from benchmarks.case import OWN, Case, Map, Measured, Must, Plan, WrongError
from benchmarks.peers import dask, farm_pool
from benchmarks.peers.offers import MAPS, sides
from benchmarks.tasks import turned

TASKS = 500
LEAST = 4
MEBIBYTE = 1 << 20
PROCESSES = 2
SEED = 6


def _arguments(count: int) -> list[bytes]:
    chance = random.Random(SEED)  # noqa: S311 - a seed repeats it
    return [chance.randbytes(MEBIBYTE) for _ in range(count)]


def _measure(run: Map, plan: Plan) -> Measured:
    """Results are looked at afterwards, so that this costs nobody anything."""
    arguments = _arguments(plan.of(TASKS, LEAST))
    run(turned, arguments[:LEAST])
    began = time.perf_counter()
    results = run(turned, arguments)
    seconds = time.perf_counter() - began
    if len(results) != len(arguments):
        raise WrongError(f"{len(results)} results of {len(arguments)} tasks")
    for argument, result in zip(arguments, results, strict=True):
        if result != argument[::-1]:
            raise WrongError("a result is not its argument turned round")
    return {"both ways": 2 * sum(map(len, arguments)) / seconds / 1e6}


def _farm(plan: Plan) -> Measured:
    with farm_pool.pool(plan.directory, PROCESSES) as pool:
        rate = disk.write_rate(plan.directory / "data", plan.of(disk.BLOCKS, LEAST))
        found = _measure(lambda function, items: list(pool.imap(function, items, 1)), plan)
        return {**found, "disk": rate, "of the disk": found["both ways"] / rate}


PEERS = {
    "multiprocessing.Pool": MAPS["multiprocessing.Pool"],
    "Ray": MAPS["Ray"],
    "Dask": dask.scattering,
}

CASE = Case(
    "payloads",
    f"{TASKS} calls, each with 1 MiB of argument and 1 MiB of result, {PROCESSES} processes",
    units={"both ways": "MB/s", "disk": "MB/s", "of the disk": ""},
    words={
        "both ways": f"{TASKS} tasks, each with 1 MiB in and 1 MiB out",
        "of the disk": "the same, as a share of what the disk took in order just before",
    },
    sides={OWN: _farm, **sides(PEERS, PROCESSES, _measure)},
    musts=(
        Must("both ways", "Ray", least=2),
        Must("both ways", "Dask", least=2),
        Must("both ways", "multiprocessing.Pool"),
        Must("of the disk", aim=0.5),
    ),
)
