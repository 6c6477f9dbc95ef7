"""Ray, on this machine alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.case import WARM
from benchmarks.tasks import inc

LONGEST_PATH = 30
"""Characters of a directory below which the sockets of Ray have room (unix(7): 107 in all)."""


@contextlib.contextmanager
def started(directory: Path, processes: int) -> Iterator[Any]:
    """The module `ray`, with so many CPUs; tasks are warm.

    Args:
        directory: for what Ray keeps, if its name is short enough.
        processes: tasks that run at a time.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    place = {"_temp_dir": str(directory)} if len(str(directory)) <= LONGEST_PATH else {}
    ray.init(
        num_cpus=processes, include_dashboard=False, log_to_driver=False,
        logging_level="ERROR", **place,
    )  # fmt: skip
    try:
        remote = ray.remote(inc)
        ray.get([remote.remote(index) for index in range(WARM)])
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def pool(directory: Path, processes: int) -> Iterator[Any]:
    """Ray's own `Pool` with the methods of `multiprocessing.Pool`; warm."""
    with started(directory, processes):
        from ray.util.multiprocessing import Pool

        opened = Pool(processes)
        try:
            opened.map(inc, range(WARM))
            yield opened
        finally:
            opened.terminate()
