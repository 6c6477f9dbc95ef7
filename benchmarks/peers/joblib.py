"""joblib with its own default, processes of loky."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from benchmarks.case import WARM, Map
from benchmarks.tasks import inc


@contextlib.contextmanager
def batching(
    _directory: Path, processes: int, batch: int | Literal["auto"] = "auto"
) -> Iterator[Map]:
    """Gives a ``map`` on so many processes; warm.

    It sizes its batches itself, which is made for what is very fast (``joblib.Parallel``,
    ``batch_size``): batches of 1,000 or 10,000 are no faster, with ``pre_dispatch="all"`` or not.
    """
    from joblib import Parallel, delayed

    with Parallel(n_jobs=processes, batch_size=batch) as parallel:

        def run(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
            results: list[Any] = parallel(delayed(function)(item) for item in items)
            return results

        run(inc, range(WARM))
        yield run


@contextlib.contextmanager
def mapper(directory: Path, processes: int) -> Iterator[Map]:
    """The same with one item a batch: its own batches last half a second, uneven items or not."""
    with batching(directory, processes, 1) as run:
        yield run
