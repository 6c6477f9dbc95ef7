"""Large arguments and large results: bytes a second in both directions together."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.case import OWN, Case, Measured, Must, Plan, WrongError
from benchmarks.peers import dask, farm_pool, ray, standard
from benchmarks.stopwatch import seconds_of
from benchmarks.tasks import turned

TASKS = 500
LEAST = 4
MEBIBYTE = 1 << 20
DISK_BLOCKS = 1024
PROCESSES = 2
SEED = 6


def _arguments(count: int) -> list[bytes]:
    """Distinct ones of a MiB each, which do not compress."""
    block = random.Random(SEED).randbytes(MEBIBYTE - 8)  # noqa: S311 - a seed repeats it
    return [index.to_bytes(8, "big") + block for index in range(count)]


def _measure(plan: Plan, run: Callable[[list[bytes]], list[bytes]]) -> Measured:
    """Results are looked at afterwards, so that this costs nobody anything."""
    arguments = _arguments(plan.of(TASKS, LEAST))
    run(arguments[:LEAST])
    began = time.perf_counter()
    results = run(arguments)
    seconds = time.perf_counter() - began
    if len(results) != len(arguments):
        raise WrongError(f"{len(results)} results of {len(arguments)} tasks")
    for argument, result in zip(arguments, results, strict=True):
        if result != argument[::-1]:
            raise WrongError("a result is not its argument turned round")
    return {"both ways": 2 * sum(map(len, arguments)) / seconds / 1e6}


def _farm(plan: Plan) -> Measured:
    with farm_pool.pool(plan.directory, PROCESSES) as pool:
        disk = _disk_rate(plan.directory / "data", plan.of(DISK_BLOCKS, LEAST))
        found = _measure(plan, lambda items: list(pool.imap(turned, items, 1)))
        return {**found, "disk": disk, "of the disk": found["both ways"] / disk}


def _disk_rate(directory: Path, blocks: int) -> float:
    """MB a second that the disk takes, written in order and by blocks of a MiB (fdatasync(2))."""
    block = random.Random(SEED).randbytes(MEBIBYTE)  # noqa: S311 - a seed repeats it
    path = directory / "written"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:

        def write() -> None:
            for _ in range(blocks):
                os.write(descriptor, block)
            os.fdatasync(descriptor)

        return blocks * MEBIBYTE / seconds_of(write) / 1e6
    finally:
        os.close(descriptor)
        path.unlink()


def _pool(plan: Plan) -> Measured:
    with standard.pool(PROCESSES) as pool:
        return _measure(plan, lambda items: pool.map(turned, items, 1))


def _ray(plan: Plan) -> Measured:
    with ray.started(plan.directory, PROCESSES) as started:
        remote = started.remote(turned)

        def run(items: list[bytes]) -> list[bytes]:
            results: list[bytes] = started.get([remote.remote(item) for item in items])
            return results

        return _measure(plan, run)


def _dask(plan: Plan) -> Measured:
    with dask.client(plan.directory, PROCESSES) as client:
        return _measure(plan, lambda items: _gathered(client, items))


def _gathered(client: Any, items: list[bytes]) -> list[bytes]:
    results: list[bytes] = client.gather(client.map(turned, items, pure=False))
    return results


CASE = Case(
    "payloads",
    f"{TASKS} calls, each with 1 MiB of argument and 1 MiB of result, {PROCESSES} processes",
    units={"both ways": "MB/s", "disk": "MB/s", "of the disk": ""},
    sides={OWN: _farm, "multiprocessing.Pool": _pool, "Ray": _ray, "Dask": _dask},
    musts=(
        Must("both ways", "Ray", least=2),
        Must("both ways", "Dask", least=2),
        Must("both ways", "multiprocessing.Pool"),
        Must("of the disk", aim=0.5),
    ),
)
