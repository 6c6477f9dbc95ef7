"""The nodes that want work. Pure."""

from __future__ import annotations

from farm.server.nodestate import NodeState


class Wanting:
    """Those that have a slot with nothing to do, and those that want to have some ahead.

    Apart, because work that waits behind a task may wait for long; each longest waiting first.
    """

    def __init__(self) -> None:
        self.idle: dict[int, NodeState] = {}
        self.ahead: dict[int, NodeState] = {}

    def put(self, node: NodeState) -> None:
        """A node wants work; one that did already keeps its place, if it is among the same."""
        if not node.want:
            self.drop(node)
            return
        here, there = (self.idle, self.ahead) if node.idle else (self.ahead, self.idle)
        there.pop(node.id, None)
        here.setdefault(node.id, node)

    def drop(self, node: NodeState) -> None:
        """A node wants nothing."""
        self.idle.pop(node.id, None)
        self.ahead.pop(node.id, None)
