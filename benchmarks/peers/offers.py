"""The sides of a case in which several offer the same: a pool, or a map of one task an item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.case import OWN, Map, Measured, Plan, Run
from benchmarks.peers import dask, farm_pool, joblib, ray, standard

Offer = TypeVar("Offer")

Opener = Callable[[Path, int], AbstractContextManager[Offer]]
"""Starts a side, given a directory of its own and how many processes; what it gives is warm."""

POOLS: dict[str, Opener[Any]] = {
    OWN: farm_pool.pool,
    "multiprocessing.Pool": standard.pool,
    "Ray Pool": ray.pool,
}
"""What has the methods of `multiprocessing.Pool`."""

MAPS: dict[str, Opener[Map]] = {
    "multiprocessing.Pool": standard.mapper,
    "Ray": ray.mapper,
    "Dask": dask.mapper,
    "joblib": joblib.mapper,
}
"""What calls a function once for each item; farm is not here, for each case asks it otherwise."""


def sides(
    openers: Mapping[str, Opener[Offer]],
    processes: int,
    measure: Callable[[Offer, Plan], Measured],
) -> dict[str, Run]:
    """Each of them measured in the same way, on so many processes."""
    return {
        name: partial(_measured, opener, processes, measure) for name, opener in openers.items()
    }


def _measured(
    opener: Opener[Offer], processes: int, measure: Callable[[Offer, Plan], Measured], plan: Plan
) -> Measured:
    with opener(plan.directory, processes) as offered:
        return measure(offered, plan)
