"""When what is in memory is left out of the collections of garbage that are to come.

A full collection looks at everything while everybody waits: 20 ms for the modules, 170 ms with
10,000 batches, 100 ms with 3,000 nodes. Nearly all of it stays.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

LOOK_SECONDS = 1.0
"""Between two looks at how many have come and gone."""

CHANGES = 250
"""Connections that come or go before it is worth it. So many may have gone and still be in memory,
some 6 kB each: each refers to itself, and what was left out is not looked for."""

QUIET = 5
"""Changes from one look to the next at which things are quiet."""

LEAST_SECONDS = 60.0
"""Between two times, each of which is a full collection itself."""


def settle() -> None:
    """Leave what is there now out of all later collections."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class Settling:
    """Tells when to `settle` once more: when many have come or gone, and things are quiet. Pure.

    Args:
        now: seconds of any clock that only goes forward; all was settled then.

    Example:
        >>> settling = Settling(0.0)
        >>> [settling.due(changes, now) for changes, now in [(500, 70.0), (500, 71.0), (500, 72.0)]]
        [False, True, False]
    """

    def __init__(self, now: float) -> None:
        self._when = now
        self._settled = self._seen = 0

    def due(self, changes: int, now: float) -> bool:
        """Whether it is time; if so, it counts as done.

        Args:
            changes: connections that have ever come or gone.
            now: seconds.
        """
        quiet = changes - self._seen <= QUIET
        self._seen = changes
        if not quiet or changes - self._settled < CHANGES or now - self._when < LEAST_SECONDS:
            return False
        self._settled, self._when = changes, now
        return True


async def keep_settled(changes: Callable[[], int]) -> None:
    """Settle whenever it is time, for as long as the loop runs.

    Args:
        changes: see `Settling.due`.
    """
    loop = asyncio.get_running_loop()
    settling = Settling(loop.time() - LEAST_SECONDS)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if settling.due(changes(), loop.time()):
            settle()
