"""How many tasks a lease holds. Pure."""

from __future__ import annotations

from farm.server.states import Batch, Node
from farm.wire.leases import worth

LEASE_SECONDS = 0.2
"""Work a lease holds for each slot: long enough that the server's work a task vanishes."""

MAX_LEASE = 1 << 20
"""Tasks in one lease, whatever they cost."""


def lease_size(
    state: Batch, node: Node, free: int, slots: int, *, pace: float = 0.0, ahead: float = 0.0
) -> int:
    """How many tasks to hand out.

    About `LEASE_SECONDS` of work for each slot of the node, or what it lacks until it speaks again,
    but no more than its share of half of what is left: guided self-scheduling (Polychronopoulos and
    Kuck, IEEE Transactions on Computers C-36(12), 1987), so that all slots end at about the same
    time.

    Args:
        state: the batch.
        node: that gets them.
        free: its slots that work is wanted for.
        slots: of all nodes together.
        pace: seconds between two reports of the node; 0 for at once.
        ahead: seconds of work that wait on the node for each slot; with a pace alone.
    """
    if state.mean <= 0.0:
        return free  # nothing is known yet: one task a slot tells
    if pace:
        lacking = int(max(0.0, worth(pace) - ahead) / state.mean * node.slots)
    else:
        lacking = int(LEASE_SECONDS / state.mean) * node.slots
    guided = -(-state.waiting // (2 * max(1, slots))) * node.slots
    return max(free, min(lacking, guided, MAX_LEASE))
