"""Nodes as people see them: a page of those that are there, and of those lately gone."""

from __future__ import annotations

from collections.abc import Mapping

from farm.server.ledger import Ledger
from farm.server.nodestate import NodeState
from farm.wire.messages import NodeInfo, Nodes

PAGE_NODES = 500
"""Nodes in one list: some 10 microseconds each."""


def listed(ledger: Ledger, known: Mapping[int, NodeState], after: int, now: float) -> Nodes:
    """A page in the order of their ids.

    Args:
        ledger: says what each holds.
        known: the nodes by id.
        after: the last one of the page before; 0 for the first page.
        now: seconds of the loop's clock.
    """
    page = sorted(node for node in known if node > after)[:PAGE_NODES]
    return Nodes([_info(ledger, known[node], now) for node in page])


def _info(ledger: Ledger, node: NodeState, now: float) -> NodeInfo:
    known = ledger.nodes.get(node.id)
    held = [ledger.batches[b].leased[node.id].count for b in known.batches] if known else []
    up = now - node.joined if known else node.joined
    heard = known.heard if known else node.heard
    state = "draining" if known and known.draining else node.state
    return NodeInfo(
        node.id, node.name, node.address, state, node.slots,
        min(node.slots, sum(held)), node.done, node.failed, now - heard, up,
        node.version, node.python,
    )  # fmt: skip
