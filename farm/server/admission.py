"""All connections of a server: how many there may be, and what they may keep waiting together."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator

from farm.limits import Limits
from farm.server.budget import Budget
from farm.server.complaints import Complaints
from farm.server.connection import Connection
from farm.server.descriptors import most_connections
from farm.server.door import Door

SLICE = 250
"""Connections that are looked at in one turn of the loop: some 0.5 ms."""


class Admission:
    """Keeps account of the connections; a `farm.server.connection.Registry`.

    Args:
        limits: of the server.
        door: decides who is let in.
        loop: the server's; its time is used.
    """

    def __init__(self, limits: Limits, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self.door = door
        self.budget = Budget(limits.max_queued)
        self._complaints = Complaints()
        self._now = loop.time
        self._most = most_connections(limits.max_connections)
        self._all: set[Connection] = set()
        self._unknown: OrderedDict[Connection, None] = OrderedDict()  # oldest first
        self._by_network: Counter[str] = Counter()
        self._full: set[Connection] = set()
        self.changes = 0
        """Connections that have ever come or gone."""

    @property
    def connections(self) -> frozenset[Connection]:
        """All there are."""
        return frozenset(self._all)

    @property
    def unknown(self) -> int:
        """How many have not shown yet that they may come in."""
        return len(self._unknown)

    def came(self, connection: Connection) -> str | None:
        """A connection has come; why it cannot stay, if it cannot.

        Where too many peers are unknown, or there is no room because of them, the one goes that has
        been so for longest, of the network that has most: a handshake takes milliseconds, so that
        it is a silent one, and newcomers are served.
        """
        network = connection.network
        is_full = len(self._all) >= self._most
        if is_full and not self._unknown:
            return f"it has {self._most} connections, and takes no more (--max-connections)"
        if self._by_network[network] >= self.limits.max_per_address:
            return (
                f"it has {self._by_network[network]} connections from {network}, and takes no more "
                "(--max-per-address)"
            )
        self._by_network[network] += 1
        self._all.add(connection)
        self.changes += 1
        if is_full:
            self._cut_oldest("there is no room for a peer that is unknown (--max-connections)")
        self._unknown[connection] = None
        if len(self._unknown) > self.limits.max_unknown:
            most = self.limits.max_unknown
            self._cut_oldest(f"more than {most} peers are unknown (--max-unknown)")
        return None

    def _cut_oldest(self, why: str) -> None:
        # Of the network that has most of them, so that one that opens very many harms itself alone.
        crowd = Counter(connection.network for connection in self._unknown)
        most = max(crowd.values())
        oldest = next(one for one in self._unknown if crowd[one.network] == most)
        # Taken out now, and not when it is closed: many may come in the same turn of the loop.
        del self._unknown[oldest]
        oldest.cut_off(why)

    def met(self, connection: Connection) -> None:
        """The peer may come in."""
        self._unknown.pop(connection, None)

    def went(self, connection: Connection) -> None:
        """A connection is closed."""
        if connection not in self._all:
            return  # it was turned away
        self._all.discard(connection)
        self.changes += 1
        self._unknown.pop(connection, None)
        self._full.discard(connection)
        self.budget.give_back(connection)
        self._by_network[connection.network] -= 1
        if not self._by_network[connection.network]:
            del self._by_network[connection.network]

    def filled(self, connection: Connection) -> None:
        """A peer does not read its answers; if they are too many, the one with most goes."""
        self._full.add(connection)
        waiting = {full: full.unsent for full in self._full}
        if sum(waiting.values()) > self.limits.max_queued:
            worst = max(waiting, key=lambda full: waiting[full])
            worst.cut_off(
                f"it has not read {waiting[worst]} bytes of answers, and all together more than "
                f"{self.limits.max_queued} (--max-queued)"
            )

    def _bound(self) -> None:
        """All together keep no more in memory than they may, however little each of them does."""
        kept = {connection: connection.kept for connection in self._all}
        total = sum(kept.values())
        for connection in sorted(kept, key=lambda one: -kept[one]):
            if total <= self.limits.max_queued:
                return
            total -= kept[connection]
            connection.cut_off(
                f"{kept[connection]} bytes of answers that it has not read and of requests wait, "
                f"and of all together more than {self.limits.max_queued} (--max-queued)"
            )

    def emptied(self, connection: Connection) -> None:
        """It reads again."""
        self._full.discard(connection)

    def complain(self, connection: Connection, what: str) -> None:
        """Log what is wrong with a peer."""
        self._complaints.tell(connection.network, connection.address, what, self._now())

    def sweep(self) -> Iterator[None]:
        """Now and then: see who may still be here, and who holds others up.

        Yields after each `SLICE` of connections, so that others have their turn: it takes some
        2 microseconds for each, and there may be tens of thousands.
        """
        now = self._now()
        self.budget.sweep(now)
        self._complaints.sweep(now)
        holds, kept, there = self.door.refresh(), 0, list(self._all)
        for start in range(0, len(there), SLICE):
            for connection in there[start : start + SLICE]:
                kept += connection.kept
                holder = connection.holder
                if holder is not None and connection in self._all and not holds(holder):
                    connection.cut_off(f"what it came in with ({holder.holder}) is void")
            yield
        if kept > self.limits.max_queued:
            self._bound()

    def close(self) -> None:
        """Close every connection after what was sent."""
        for connection in self.connections:
            connection.close()
