"""What stands around the ledger: what people know of a batch, and whom the state calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

QUEUE_TOKEN = "plain-queue"  # noqa: S105 - marks a batch, opens nothing
"""The submission token of the batch behind `get_task_queue` of plain clients."""


@dataclass(slots=True)
class Info:
    """What the ledger need not know of a batch; times are seconds since the epoch."""

    id: int
    name: str
    token: str
    digest: str
    submitted: float
    started: float = 0.0
    ended: float = 0.0
    reason: str = ""
    seq: int = 0  # of the batch's newest outcome
    size: int | None = None  # bytes that a client has sent of it; of one from before, not known


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the state asks of those around it.

    Args:
        hand_out: lease what became pending; called after each commit.
        drop: tell the nodes that hold some of a batch that nobody wants it any more.
        give_up: end the server, because of this.
    """

    hand_out: Callable[[], None]
    drop: Callable[[int], None]
    give_up: Callable[[Exception], None]
