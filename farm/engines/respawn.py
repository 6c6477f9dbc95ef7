"""When a slot that has died is started again, and when that is given up."""

from __future__ import annotations

from collections import deque

from farm.engines.base import EngineError

MAX_DEATHS = 10
WITHIN_SECONDS = 10.0
_FIRST_DELAY = 0.02
_MAX_DELAY = 1.0


class Respawn:
    """Counts slots that died with no task to blame; a task that reports clears the count."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=MAX_DEATHS)

    def works(self) -> None:
        """A slot has reported something: slots can live here."""
        self._deaths.clear()

    def after_death(self, now: float, reason: str) -> float:
        """The time to start the slot again.

        Args:
            now: `time.monotonic`.
            reason: how the slot ended.

        Raises:
            EngineError: `MAX_DEATHS` of them within `WITHIN_SECONDS`.
        """
        self._deaths.append(now)
        if len(self._deaths) == MAX_DEATHS and now - self._deaths[0] <= WITHIN_SECONDS:
            raise EngineError(
                f"{MAX_DEATHS} slots in a row died before they ran a task ({reason}); their own "
                "messages are above on stderr. Look for a limit on memory or processes, or for a "
                "Python installation that is broken"
            )
        doublings = len(self._deaths) - 1
        return now + (min(_MAX_DELAY, _FIRST_DELAY * 2**doublings) if doublings else 0.0)
