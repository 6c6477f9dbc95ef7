"""How busy the server is, and the pace it therefore asks of its nodes. Pure: time is passed in.

A lease and its report cost the server the same however many tasks they are of. So a server that has
much to do asks for fewer and larger ones: a node then says what came of its work once in each
*pace*, and is given work that lasts until the next time.
"""

from __future__ import annotations

LEAST_WINDOW = 1.0
"""Seconds over which the load is measured, at least. It is as long as the pace where that is
longer: before, not every node has been heard at that pace, and the load is still the old one's."""

BUSY, ROOM = 0.6, 0.3
"""Shares of a core above which the pace grows, and below which it shrinks."""

GROWTH, SHRINKAGE = 3.0, 0.8
"""Grows quickly, while everybody waits; shrinks by so little that the load, which is at most
``ROOM / SHRINKAGE`` after that, does not make it grow again."""

FIRST_PACE = 0.1
"""Seconds of the shortest pace: what is shorter spares nothing, and is none."""

MAX_PACE = 10.0

LEAST_REPORTS = 500
"""Reports a second that the nodes make together however long the pace: where few nodes work, it is
not their reports that keep the server busy, and to hold them back would only make people wait."""


class Load:
    """Tells the pace, from how much of a processor the server asks for.

    Args:
        reports: see `LEAST_REPORTS`.

    Example:
        >>> load = Load()
        >>> [load.look(cpu, now, 1000) for cpu, now in [(0.0, 0.0), (0.9, 1.0), (1.3, 2.0)]]
        [0.0, 0.1, 0.1]
    """

    def __init__(self, reports: float = LEAST_REPORTS) -> None:
        self._reports = reports
        self._began: tuple[float, float] | None = None  # the window: CPU time and time
        self.pace = 0.0
        """Seconds between two reports of a node; 0 for at once."""

    def look(self, cpu: float, now: float, nodes: int) -> float:
        """The pace from now on.

        Args:
            cpu: seconds of a core that the server has asked for (see `farm.server.processor`).
            now: seconds of any clock that only goes forward.
            nodes: that hold work.
        """
        if self._began is None:
            self._began = cpu, now
        lasted = now - self._began[1]
        if lasted >= max(LEAST_WINDOW, self.pace):
            self.pace = self._next((cpu - self._began[0]) / lasted, nodes)
            self._began = cpu, now
        return self.pace

    def _next(self, share: float, nodes: int) -> float:
        pace = self.pace
        if share > BUSY:
            pace = max(FIRST_PACE, pace * GROWTH)
        elif share < ROOM:
            pace *= SHRINKAGE
        pace = min(pace, MAX_PACE, nodes / self._reports)
        return pace if pace >= FIRST_PACE else 0.0
