"""Tasks of very uneven length: how long all of them take, beside the least that they can."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from benchmarks.case import OWN, Case, Measured, Must, Plan, WrongError
from benchmarks.cluster import Cluster, write_batch
from benchmarks.listing import greedy, lengths
from benchmarks.peers import dask, joblib, ray, standard
from benchmarks.tasks import nap

TASKS = 400
LEAST = 16
NODES = (4, 4)
SLOTS = sum(NODES)
NOISE = 1.01
"""What one run differs from another on a quiet machine."""

WARM_SECONDS = [0.1] * 3 * SLOTS
"""Naps that have all processes of every side started and warm."""


def _measure(plan: Plan, run: Callable[[list[float]], list[float]]) -> Measured:
    naps = lengths(plan.of(TASKS, LEAST))
    run(WARM_SECONDS)
    began = time.perf_counter()
    results = run(naps)
    seconds = time.perf_counter() - began
    if results != naps:
        raise WrongError(f"{len(naps)} naps gave other results")
    return {"makespan": seconds, "of the ideal": seconds / greedy(naps, SLOTS)}


def _farm(plan: Plan) -> Measured:
    with Cluster(plan.directory, NODES) as cluster, cluster.session() as session:

        def run(naps: list[float]) -> list[float]:
            params = f"params: {{zip: {{seconds: {json.dumps(naps)}}}}}"
            path = write_batch(plan.directory, f"name: naps\npython: tasks.py:nap\n{params}\n")
            return list(session.submit(path).results())

        return _measure(plan, run)


def _pool(plan: Plan) -> Measured:
    with standard.pool(SLOTS) as pool:
        return _measure(plan, lambda naps: pool.map(nap, naps, 1))


def _ray(plan: Plan) -> Measured:
    with ray.started(plan.directory, SLOTS) as started:
        remote = started.remote(nap)

        def run(naps: list[float]) -> list[float]:
            results: list[float] = started.get([remote.remote(seconds) for seconds in naps])
            return results

        return _measure(plan, run)


def _dask(plan: Plan) -> Measured:
    with dask.client(plan.directory, SLOTS) as client:
        return _measure(plan, lambda naps: _gathered(client, naps))


def _gathered(client: Any, naps: list[float]) -> list[float]:
    results: list[float] = client.gather(client.map(nap, naps, pure=False))
    return results


def _joblib(plan: Plan) -> Measured:
    with joblib.runner(SLOTS) as run:
        return _measure(plan, lambda naps: run(nap, naps))


PEERS = {"multiprocessing.Pool": _pool, "Ray": _ray, "Dask": _dask, "joblib": _joblib}

CASE = Case(
    "uneven",
    f"{TASKS} naps of 5 ms to 2 s, log-normal, on {SLOTS} slots of {len(NODES)} nodes",
    units={"makespan": "s", "of the ideal": ""},
    sides={OWN: _farm, **PEERS},
    musts=(
        Must("of the ideal", most=1.05),
        *(Must("makespan", peer, most=NOISE) for peer in PEERS),
    ),
)
