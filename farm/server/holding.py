"""What nodes hold of batches, with the counts that follow from it. Pure.

``Batch.running`` counts leased tasks; ``Batch.busy`` the slots that they keep busy, as far as a
node has so many.
"""

from __future__ import annotations

from collections.abc import Collection

from farm.batch.ranges import RangeSet
from farm.server.states import Batch, Node, Range

_FEW = 4
"""Ranges that are added one by one: making a set of them would take longer."""


def hold(state: Batch, node: Node, ranges: Collection[Range] | RangeSet) -> None:
    """The ranges, which nobody has, are leased to the node."""
    held = state.leased.get(node.id)
    if held is None:
        held = state.leased[node.id] = RangeSet()
    before = held.count
    if isinstance(ranges, RangeSet):
        held |= ranges
    elif len(ranges) <= _FEW:
        for start, stop in ranges:
            held.add(start, stop)
    else:
        held |= RangeSet(ranges)
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
        _released(state, node, before)
    return found


def release_whole(state: Batch, node: Node, start: int, stop: int) -> bool:
    """As `release`, if all of ``[start, stop)`` is leased to the node; whether it was."""
    held = state.leased.get(node.id)
    if held is None:
        return False
    before = held.count
    if not held.remove(start, stop):
        return False
    _released(state, node, before)
    return True


def release_all(state: Batch, node: Node, part: RangeSet) -> None:
    """Some of what the node holds is no longer leased to it."""
    held = state.leased.get(node.id)
    if held is not None:
        before = held.count
        held -= part
        _released(state, node, before)


def settle(state: Batch, node: Node) -> RangeSet:
    """The node holds nothing of the batch any more; what it held."""
    held = state.leased.pop(node.id)
    node.batches.discard(state.id)
    _changed(state, held.count, 0, node.slots)
    return held


def _released(state: Batch, node: Node, before: int) -> None:
    held = state.leased[node.id]
    _changed(state, before, held.count, node.slots)
    if not held:
        del state.leased[node.id]
        node.batches.discard(state.id)


def resize(state: Batch, node: Node, slots: int) -> None:
    """The node has another number of slots."""
    held = state.leased[node.id].count
    state.busy += min(slots, held) - min(node.slots, held)


def _changed(state: Batch, before: int, after: int, slots: int) -> None:
    state.running += after - before
    state.busy += min(slots, after) - min(slots, before)
