"""The standard library's `multiprocessing.Pool`."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing.pool import Pool

from benchmarks.case import WARM
from benchmarks.tasks import inc


@contextlib.contextmanager
def pool(processes: int) -> Iterator[Pool]:
    """A pool of so many processes; warm."""
    with multiprocessing.Pool(processes) as opened:
        opened.map(inc, range(WARM))
        yield opened
