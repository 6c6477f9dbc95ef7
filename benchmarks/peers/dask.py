"""Dask's distributed scheduler, with a `LocalCluster` of processes of one thread each."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.case import WARM
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
        Client(cluster) as opened,
    ):  # fmt: skip
        opened.gather(opened.map(inc, range(WARM), pure=False))
        yield opened
