"""What is forgotten is removed from the journal bit by bit, between the turns of the loop."""

from __future__ import annotations

import logging
import sqlite3
from collections import deque

from farm.server.core import Core

log = logging.getLogger("farm.server")

STEP_SECONDS = 0.01
"""About how long a step may keep the loop busy."""

PAUSE_SECONDS = 0.02
"""Between two steps: others come first."""

AGAIN_SECONDS = 5.0
"""Until the next attempt, where the journal cannot be written."""

MOST_ROWS = 10_000
PAGES = 200
"""Given back to the disk in one step."""


class Pruner:
    """Removes the rows of forgotten batches, also of those that another run had not finished.

    Args:
        core: the server's state.
        keep: seconds for which a batch that has ended is kept; None for as long as it takes.
    """

    def __init__(self, core: Core, keep: float | None = None) -> None:
        self._core = core
        self._keep = keep
        self._waiting = deque(core.journal.forgotten())
        self._rows = 100
        self._shrinking = core.journal.has_room  # of batches that an earlier run forgot, too
        self._planned = False
        self._plan(PAUSE_SECONDS)

    def forget(self, batch: int) -> None:
        """Forget a batch that has ended."""
        self._core.forget(batch)
        self._waiting.append(batch)
        self._shrinking = True
        self._plan(PAUSE_SECONDS)

    def sweep(self) -> None:
        """Forget what has been kept for long enough."""
        core = self._core
        if self._keep is None or core.stalled:
            return
        before = core.wall() - self._keep
        for info in list(core.infos.values()):
            if info.ended and info.ended < before and core.ledger.batches[info.id].ended:
                log.info("batch %d ended more than %.0f s ago: forgotten", info.id, self._keep)
                self.forget(info.id)

    def _plan(self, seconds: float) -> None:
        if not self._planned and (self._waiting or self._shrinking):
            self._planned = True
            # After a commit, as what waits for one must be in the file before what follows from it.
            self._core.loop.call_later(seconds, lambda: self._core.answer(self._step))

    def _step(self) -> None:
        self._planned = False
        began = self._core.loop.time()
        try:
            self._work()
        except sqlite3.OperationalError as error:
            log.warning("forgotten batches cannot be removed yet: %s", error)
            self._plan(AGAIN_SECONDS)
            return
        except sqlite3.ProgrammingError:
            return  # the server has let go of its journal: the next one removes the rest
        quick = self._core.loop.time() - began < STEP_SECONDS
        self._rows = max(1, min(MOST_ROWS, self._rows * 2 if quick else self._rows // 2))
        self._plan(PAUSE_SECONDS)

    def _work(self) -> None:
        if self._waiting:
            if not self._core.journal.remove_some(self._waiting[0], self._rows):
                self._waiting.popleft()
        elif self._shrinking:
            self._shrinking = self._core.journal.shrink(PAGES)
