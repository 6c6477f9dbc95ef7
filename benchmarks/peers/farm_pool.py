"""`farm.Pool` on a server and a node of its own, as the pools of others are started here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import farm
from benchmarks.case import WARM, AbsentError
from benchmarks.cluster import Cluster
from benchmarks.tasks import inc


@contextlib.contextmanager
def pool(directory: Path, processes: int) -> Iterator[Any]:
    """A pool whose node has so many slots; warm.

    Raises:
        AbsentError: this version of farm has none.
    """
    made = getattr(farm, "Pool", None)
    if made is None:
        raise AbsentError("this version of farm has no Pool")
    with (
        Cluster(directory, (processes,)) as cluster,
        made(address=cluster.address, authkey=cluster.key) as opened,
    ):
        opened.map(inc, range(WARM))
        yield opened
