"""While the journal cannot be written: why, since when, and what to do, for log and people."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from farm.wire.messages import Stalled

log = logging.getLogger("farm.server")

COMPLAINT_SECONDS = 60.0
"""Between lines in the log, however often it can be written in between."""


class Stall:
    """Whether the journal can be written; times are seconds on a clock that only goes forward.

    Args:
        journal: its file.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self.why: str | None = None
        """Why it cannot be written; None if it can."""
        self._since = 0.0
        self._told = -math.inf
        self._is_told = False

    def met(self, error: Exception, now: float) -> None:
        """It could not be written."""
        if self.why is None:
            self._since = now
        self.why = str(error)
        if now - self._told < COMPLAINT_SECONDS:
            return
        self._told, self._is_told = now, True
        log.error(
            "the journal %s cannot be written (%s) for %.0f s by now: no batch is taken and "
            "nothing is acknowledged until it can, which is tried every second. %s",
            self._journal, self.why, now - self._since, self._advice(str(self._journal.parent)),
        )  # fmt: skip

    def over(self) -> None:
        """It was written."""
        if self._is_told:
            log.warning("the journal %s can be written again", self._journal)
        self.why, self._is_told = None, False

    @property
    def refusal(self) -> str:
        """For who wants something written."""
        return (
            f"the server cannot write its journal ({self.why}); nothing was taken. "
            f"{self._advice()}, and try again"
        )

    def told(self, now: float, wall: float) -> Stalled | None:
        """For who looks how batches stand; None if all is well.

        Args:
            now: see above.
            wall: the same moment, in seconds since the epoch.
        """
        if self.why is None:
            return None
        return Stalled(self.why, wall - (now - self._since), self._advice())

    def _advice(self, directory: str = "") -> str:
        # Who may ask need not know where it lies.
        place = directory or "the server's data directory (`farm serve --data`)"
        if "full" in (self.why or ""):
            return f"Free room on the file system of {place}"
        return f"See that {place} can be written"
