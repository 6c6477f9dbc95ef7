"""joblib with its own default, processes of loky, and batches that it sizes itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks.case import WARM
from benchmarks.tasks import inc


@contextlib.contextmanager
def runner(processes: int) -> Iterator[Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]]:
    """Gives a ``map`` on so many processes; warm."""
    from joblib import Parallel, delayed

    with Parallel(n_jobs=processes) as parallel:

        def run(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
            results: list[Any] = parallel(delayed(function)(item) for item in items)
            return results

        run(inc, range(WARM))
        yield run
