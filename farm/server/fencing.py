"""Only the latest connection of a session counts: what was sent on an earlier one is not served.

A peer that lost its connection sends what was not answered again on the next. What it had sent on
the first may still arrive, long after: an old claim of leases, or a `Pause` that somebody has taken
back since.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict

from farm.errors import RequestError
from farm.server.peers import Peer

MAX_SESSIONS = 20_000
"""Sessions that are remembered beyond those that are here; the one unheard of for longest is
forgotten first."""


class Sessions:
    """The latest connection of each session.

    Example:
        >>> sessions = Sessions()
        >>> sessions.greet(peer, 1, "5f1c", 1)                  # doctest: +SKIP
        True
    """

    def __init__(self) -> None:
        # Not the peers themselves: they hold their connections, which most have lost long ago.
        self._latest: OrderedDict[str, tuple[int, weakref.ref[Peer]]] = OrderedDict()

    def greet(self, peer: Peer, number: int, session: str, connection: int) -> bool:
        """A peer says, with request ``number``, which connection of which session this is.

        Returns:
            Whether it is served; if a later one was here already, it was told, and is closed.

        Raises:
            RequestError: it has said that it is of another session.
        """
        if not session:
            return True
        if peer.session not in ("", session):
            raise RequestError("bad-request", "this connection is of another session")
        peer.session = session
        known, reference = self._latest.get(session, (0, weakref.ref(peer)))
        if connection < known:
            text = "a later connection of this session is here already"
            peer.dismiss(number, "superseded", text)
            return False
        before = reference()
        if before is not None and before is not peer:
            before.mute()
            before.close()
        self._latest[session] = (connection, weakref.ref(peer))
        self._latest.move_to_end(session)
        self._forget_some()
        return True

    def _forget_some(self) -> None:
        for _ in range(len(self._latest) - MAX_SESSIONS):
            for session in self._latest:
                if not self.is_here(session):
                    del self._latest[session]
                    break

    def is_here(self, session: str) -> bool:
        """Whether the latest connection of a session is there."""
        known = self._latest.get(session)
        peer = known[1]() if known else None
        return peer is not None and not peer.is_lost
