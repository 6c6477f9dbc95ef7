"""Ray, on this machine alone."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.case import WARM, Map
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
def mapper(directory: Path, processes: int) -> Iterator[Map]:
    """One task an item, all begun before the first result is asked for.

    So its documentation has it (Ray Core, Design Patterns, "Calling ray.get in a loop"). An item of
    more than 100 kB goes to its object store by itself ("Passing the same large argument by value
    repeatedly").
    """
    with started(directory, processes) as opened:
        # Made once a function: "Redefining the same remote function or class harms performance".
        remote = functools.cache(opened.remote)

        def run(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
            made = remote(function)
            results: list[Any] = opened.get([made.remote(item) for item in items])
            return results

        yield run


@contextlib.contextmanager
def actor(directory: Path, processes: int) -> Iterator[Callable[[int], int]]:
    """Gives `tasks.inc` as the method of an actor: its process is there, and is called directly."""
    with started(directory, processes) as opened:
        made = opened.remote(_Actor).remote()

        def call(index: int) -> int:
            return int(opened.get(made.inc.remote(index)))

        call(0)
        yield call


class _Actor:
    def inc(self, index: int) -> int:
        """What the tasks of all sides do."""
        return inc(index)


@contextlib.contextmanager
def pool(directory: Path, processes: int) -> Iterator[Any]:
    """Ray's own `Pool`, of actors, with the methods of `multiprocessing.Pool`; warm."""
    with started(directory, processes):
        from ray.util.multiprocessing import Pool

        opened = Pool(processes)
        try:
            opened.map(inc, range(WARM))
            yield opened
        finally:
            opened.terminate()
