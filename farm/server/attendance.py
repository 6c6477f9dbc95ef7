"""Open batches whose clients are gone are closed after a while, so that they can end.

A client that is killed cannot say that nothing follows. Whose a batch is, its token says, which is
journalled: after a restart the client has so long to come back.
"""

from __future__ import annotations

from collections.abc import Callable

from farm.server.core import Core
from farm.wire.messages import session_of

AWAY_SECONDS = 60.0
"""Without any connection of its client, before an open batch is closed."""

_MOST_AT_ONCE = 2.0
"""Seconds that count between two looks: while the server itself was stopped, nobody could come."""


class Absences:
    """For how long the clients of open batches have been away. Pure: time is passed in.

    Example:
        >>> absences = Absences(0.0)
        >>> absences.add(7, "5f1c")
        >>> [absences.over(now, lambda _: False) for now in (1.0, 2.0)]
        [[], []]
    """

    def __init__(self, now: float) -> None:
        self._looked = now
        self._sessions: dict[int, str] = {}
        self._away: dict[int, float] = {}

    def add(self, batch: int, session: str) -> None:
        """A batch is open, and belongs to a session."""
        self._sessions[batch], self._away[batch] = session, 0.0

    def remove(self, batch: int) -> None:
        """It is not open any more."""
        del self._sessions[batch], self._away[batch]

    @property
    def batches(self) -> list[int]:
        """Those that are open."""
        return list(self._sessions)

    def over(self, now: float, is_here: Callable[[str], bool]) -> list[int]:
        """The batches whose client has been away for too long by now.

        Args:
            now: seconds of any clock that only goes forward.
            is_here: whether a session has a connection.
        """
        passed = min(now - self._looked, _MOST_AT_ONCE)
        self._looked = now
        for batch, session in self._sessions.items():
            self._away[batch] = 0.0 if is_here(session) else self._away[batch] + passed
        return [batch for batch, away in self._away.items() if away > AWAY_SECONDS]


class Attendance:
    """Closes the batches of clients that are gone.

    Args:
        core: the server's state.
        is_here: whether a session has a connection.
    """

    def __init__(self, core: Core, is_here: Callable[[str], bool]) -> None:
        self._core = core
        self._is_here = is_here
        self._absences = Absences(core.loop.time())
        self._seen = 0  # the highest batch that was looked at

    def sweep(self) -> None:
        """To be called every second or so."""
        core = self._core
        if core.stalled:
            return
        self._see_new()
        for batch in self._absences.batches:
            state = core.ledger.batches.get(batch)
            if state is None or not state.open:
                self._absences.remove(batch)
        for batch in self._absences.over(core.loop.time(), self._is_here):
            self._close(batch)

    def _see_new(self) -> None:
        newest = self._core.highest[0]
        for batch in range(self._seen + 1, newest + 1):
            state, info = self._core.ledger.batches.get(batch), self._core.infos.get(batch)
            if state is not None and info is not None and state.open:
                session = session_of(info.token)
                if session:
                    self._absences.add(batch, session)
        self._seen = newest

    def _close(self, batch: int) -> None:
        self._absences.remove(batch)
        self._core.infos[
            batch
        ].reason = f"closed, as its client had been away for {AWAY_SECONDS:g} s"
        self._core.grow(batch, [], close=True)
        self._core.note(batch)
