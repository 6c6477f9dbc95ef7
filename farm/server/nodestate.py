"""What the server knows of a node beside its leases."""

from __future__ import annotations

from dataclasses import dataclass

from farm.server.peers import Peer
from farm.wire.leases import remaining


@dataclass(slots=True)
class NodeState:
    """What is known of a node beside its leases; times are of the loop's clock.

    ``joined`` is when it came; of one that has gone, for how long it was there.
    """

    id: int
    token: str
    name: str
    joined: float
    address: str = ""
    slots: int = 0
    peer: Peer | None = None
    heard: float = 0.0
    version: str = ""
    python: str = ""
    done: int = 0
    failed: int = 0
    want: int = 0
    idle: int = 0
    ahead: float = 0.0
    state: str = "up"

    def given(self, tasks: int, mean: float) -> None:
        """It gets so many tasks of what it wants, of so many seconds each."""
        self.ahead += tasks * mean / self.slots
        self.want, self.idle = remaining(self.want, self.idle, tasks)
