"""What nodes hold of batches, with the counts that follow from it. Pure.

``Batch.running`` counts leased tasks; ``Batch.busy`` the slots that they keep busy, as far as a
node has so many.
"""

from __future__ import annotations

from collections.abc import Iterable

from farm.batch.ranges import RangeSet
from farm.server.states import Batch, Node, Range


def hold(state: Batch, node: Node, ranges: Iterable[Range]) -> None:
    """The ranges, which nobody has, are leased to the node."""
    held = state.leased.setdefault(node.id, RangeSet())
    before = held.count
    for start, stop in ranges:
        held.add(start, stop)
    _changed(state, before, held.count, node.slots)
    node.batches.add(state.id)


def release(state: Batch, node: Node, start: int, stop: int) -> list[Range]:
    """``[start, stop)`` is no longer leased to the node; what of it was."""
    held = state.leased.get(node.id)
    if held is None:
        return []
    found = held.intersection(start, stop)
    if found:
        before = held.count
        held.discard(start, stop)
        _changed(state, before, held.count, node.slots)
        if not held:
            del state.leased[node.id]
            node.batches.discard(state.id)
    return found


def settle(state: Batch, node: Node) -> list[Range]:
    """The node holds nothing of the batch any more; what it held."""
    return release(state, node, 0, state.total)


def resize(state: Batch, node: Node, slots: int) -> None:
    """The node has another number of slots."""
    held = state.leased[node.id].count
    state.busy += min(slots, held) - min(node.slots, held)


def _changed(state: Batch, before: int, after: int, slots: int) -> None:
    state.running += after - before
    state.busy += min(slots, after) - min(slots, before)
