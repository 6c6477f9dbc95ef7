"""What a connection has of its server: limits, the door, and who keeps account of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from farm.limits import Limits
from farm.server.budget import Budget
from farm.server.door import Door

if TYPE_CHECKING:
    from farm.server.connection import Connection


class Registry(Protocol):
    """All connections of a server: `Connection` tells it of its coming and going."""

    limits: Limits
    door: Door
    budget: Budget

    def came(self, connection: Connection) -> str | None:
        """Why it cannot stay, if it cannot."""

    def met(self, connection: Connection) -> None:
        """The peer may come in."""

    def went(self, connection: Connection) -> None:
        """It is closed."""

    def filled(self, connection: Connection) -> None:
        """The peer does not read its answers."""

    def emptied(self, connection: Connection) -> None:
        """It reads again."""

    def complain(self, connection: Connection, what: str) -> None:
        """Log what is wrong with the peer."""
