"""Dask's distributed scheduler, with a `LocalCluster` of processes of one thread each.

Processes, because the tasks are plain Python (docs.dask.org, Best Practices, "Processes, Threads
and VM sizes"); no dashboard, which nobody looks at; and results come from the workers themselves
instead of by way of the scheduler (`distributed.Client`, ``direct_to_workers``).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.case import WARM, Map
from benchmarks.tasks import inc


@contextlib.contextmanager
def client(directory: Path, processes: int) -> Iterator[Any]:
    """A client of a cluster of so many processes; warm."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=processes, threads_per_worker=1, dashboard_address=None,
            silence_logs=logging.ERROR, local_directory=str(directory),
        ) as cluster,
        Client(cluster, direct_to_workers=True) as opened,
    ):  # fmt: skip
        opened.gather(opened.map(inc, range(WARM), pure=False))
        yield opened


@contextlib.contextmanager
def mapper(directory: Path, processes: int) -> Iterator[Map]:
    """One task an item, all submitted at once."""
    with client(directory, processes) as opened:

        def run(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
            results: list[Any] = opened.gather(opened.map(function, items, pure=False))
            return results

        yield run


@contextlib.contextmanager
def scattering(directory: Path, processes: int) -> Iterator[Map]:
    """The same for large items, which go to the workers first.

    Within tasks they would pass through the scheduler, which its documentation warns of (Best
    Practices, "Load Data with Dask"); this takes half of the time.
    """
    with client(directory, processes) as opened:

        def run(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
            there = opened.scatter(list(items), direct=True, hash=False)
            results: list[Any] = opened.gather(opened.map(function, there, pure=False))
            return results

        yield run
