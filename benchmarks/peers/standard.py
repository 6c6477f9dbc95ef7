"""The standard library's `multiprocessing.Pool`."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing.pool import Pool
from pathlib import Path

from benchmarks.case import WARM, Map
from benchmarks.tasks import inc


@contextlib.contextmanager
def pool(_directory: Path, processes: int) -> Iterator[Pool]:
    """A pool of so many processes; warm."""
    with multiprocessing.Pool(processes) as opened:
        opened.map(inc, range(WARM))
        yield opened


@contextlib.contextmanager
def mapper(directory: Path, processes: int) -> Iterator[Map]:
    """The pool's ``map``, with one item a chunk."""
    with pool(directory, processes) as opened:
        yield lambda function, items: opened.map(function, items, 1)
