"""Work that waits on some nodes while others have nothing to do: who is to give it back. Pure.

A lease is as much as the node should have done in a moment, by what tasks took so far. Where some
take much longer, what was to come behind them would wait for them.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator

from farm.server.ledger import Ledger
from farm.server.states import Node

MAX_NODES = 100
"""Nodes that are to give something back at a time: each says so to the server."""

MAX_LOOKS = 10_000
"""Nodes, and batches of theirs, that are looked at at a time; the others have their turn next."""


class Evening:
    """Whether there is something to be evened out. A moment without work is none: each batch ends.

    Args:
        ledger: says who holds what.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._was_idle = False
        self._at = 0  # how many of the nodes that hold something were looked at last

    def look(self, idle: Collection[int]) -> list[tuple[int, int]]:
        """To be called once a second.

        Args:
            idle: nodes that wait for work, having slots with nothing to do.

        Returns:
            Nodes and the batches of which they are to give back what has not begun.
        """
        is_idle = bool(idle) and self._ledger.exhausted
        was_idle, self._was_idle = self._was_idle, is_idle
        if not (is_idle and was_idle):
            return []
        found: list[tuple[int, int]] = []
        nodes = 0
        for node in self._next_ones():
            if nodes == MAX_NODES:
                break
            self._at += 1
            if node.id not in idle and self._holds_more_than_runs(node):
                nodes += 1
                found += [(node.id, batch) for batch in node.batches if self._may_wait(batch)]
        return found

    def _next_ones(self) -> Iterator[Node]:
        """Nodes that hold something, from where it was left off."""
        known = [node for node in self._ledger.nodes.values() if node.batches and node.id > 0]
        self._at = at = self._at if self._at < len(known) else 0
        looks = 0
        for node in itertools.chain(known[at:], known[:at]):
            yield node
            looks += 1 + len(node.batches)
            if looks >= MAX_LOOKS:
                return

    def _holds_more_than_runs(self, node: Node) -> bool:
        batches = self._ledger.batches
        return sum(batches[batch].leased[node.id].count for batch in node.batches) > node.slots

    def _may_wait(self, batch: int) -> bool:
        """Whether tasks of a batch are leased before a slot is idle for them."""
        return not self._ledger.batches[batch].strict
