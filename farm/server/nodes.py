"""What nodes say: join, want work, report what came of it, live, leave.

A node is known by its id, not by its connection: it may come back on another one and present what
it holds. It is given up when nothing was heard of it for `farm.server.ledger.SILENT_SECONDS`.
"""

from __future__ import annotations

import array
import functools
import logging
from collections import deque
from collections.abc import Callable

from farm.batch.suggest import clipped
from farm.errors import RequestError
from farm.printable import in_line
from farm.server import claims
from farm.server.complaints import Complaints
from farm.server.core import Core
from farm.server.evening import Evening
from farm.server.inline import inline_blocks
from farm.server.naming import Names
from farm.server.networks import network_of
from farm.server.nodelist import listed
from farm.server.nodestate import NodeState
from farm.server.peers import Peer
from farm.server.states import Grant, Node, Verdict, size_of
from farm.server.wanting import Wanting
from farm.wire.controls import Draining, DrainNode
from farm.wire.leases import (
    Beat,
    Drain,
    Dropped,
    Held,
    Join,
    Joined,
    Lease,
    Leave,
    Part,
    Recall,
    Report,
    Want,
)
from farm.wire.messages import MAX_ITEMS, Done, GetNodes, Nodes

log = logging.getLogger("farm.server")

BEAT_SECONDS = 3.0
SWEEP_SECONDS = 1.0
"""Between looks at who has been silent for too long."""

_MAX_SHOWN = 60  # characters of a node's name in the log

MAX_GONE = 100
"""Nodes that have gone and are still listed."""


class NodeDesk:
    """The requests of nodes.

    Args:
        core: the server's state.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._nodes: dict[int, NodeState] = {}
        self._by_token: dict[str, NodeState] = {}
        self._names = Names()
        self._gone: deque[NodeState] = deque(maxlen=MAX_GONE)
        self._wanting = Wanting()
        self._evening = Evening(core.ledger)
        self._last_id = 0
        self._swept = self._now
        self._warnings, self._news = Complaints(), Complaints(logging.INFO)
        self.versions: dict[Peer, tuple[str, str]] = {}
        for ghost in core.ghosts:
            # It has as long to come back as one that lost its connection.
            self._last_id = max(self._last_id, ghost.id)
            self._names.add(ghost.name)
            self._add(NodeState(ghost.id, ghost.token, ghost.name, self._now, state="away"))

    @property
    def _now(self) -> float:
        return self._core.loop.time()

    def _add(self, node: NodeState) -> None:
        self._nodes[node.id] = self._by_token[node.token] = node

    def _held(self, node: NodeState) -> Node | None:
        return self._core.ledger.nodes.get(node.id)

    def _tell(self, lines: Complaints, node: NodeState, what: str) -> None:
        """Log a line about a node, of as many as its address may have."""
        host = node.address.rpartition(":")[0]
        network = network_of(host) if host else "nodes that have not come back"
        name = in_line(node.name, _MAX_SHOWN)
        lines.tell(network, f"node {node.id} ({name})", what, self._now)

    # -- coming and going ---------------------------------------------------------------------

    def join(self, peer: Peer, number: int, request: Join) -> None:
        """A node comes, or comes back with what it holds."""
        held = claims.checked_join(request)
        node = self._by_token.get(request.token)
        if peer.node and (node is None or node.id != peer.node):
            raise RequestError("bad-request", "this connection is of another node")
        node = node or self._new(request)
        if node.peer is not None and node.peer is not peer:
            node.peer.node = 0
            node.peer.close()
        if node.peer is not peer:
            self._wants_nothing(node)  # else it has joined once more; what it wants it said since
        node.peer, node.slots, node.address = peer, request.slots, peer.address
        node.state = "up"
        node.version, node.python = self.versions.get(peer, ("", ""))
        peer.node = node.id
        self._core.ledger.join(node.id, node.name, node.slots, now=self._now)
        present = self._core.present(node.id, node.token, held, request.failed)
        drop = [Held(batch, ranges) for batch, ranges in present]
        self._tell(self._news, node, f"joined from {peer.address} with {node.slots} slots")
        if request.draining:
            self._core.ledger.drain(node.id)
        answer = Joined(node.id, node.name, BEAT_SECONDS, drop)
        self._core.answer(lambda: peer.reply(number, answer))
        self._core.answer(lambda: self._tell_news(node, peer, request))

    def _tell_news(self, node: NodeState, peer: Peer, request: Join) -> None:
        """What has happened while a node was away, and it could not be told."""
        if node.peer is not peer:
            return
        for batch in {claim.batch: None for claim in request.held}:  # each once
            state = self._core.ledger.batches.get(batch)
            if state is None or state.ended:  # kill what runs of it
                peer.push(Dropped(batch))
            elif state.paused:
                peer.push(Recall(batch))
        known = self._held(node)
        if known is not None and known.draining:
            self._drain(node)

    def _new(self, request: Join) -> NodeState:
        name = self._names.take(request.name)
        self._last_id += 1
        node = NodeState(self._last_id, request.token, name, self._now)
        self._add(node)
        return node

    def beat(self, peer: Peer, number: int, request: Beat) -> None:
        """A node is alive."""
        node = self._by_token.get(request.token)
        if node is None:
            raise RequestError("unknown-node", "this node was given up; it has to join again")
        self._core.ledger.heartbeat(node.id, self._now)
        self._core.tell(lambda: peer.reply(number, Done()))

    def leave(self, peer: Peer, number: int, request: Leave) -> None:
        """A node goes of its own accord."""
        node = self._by_token.get(request.token)
        if node is not None:
            self._give_up(node, "left")
        self._core.tell(lambda: peer.reply(number, Done()))

    def lost(self, peer: Peer) -> None:
        """A connection is gone; its node has a while to come back."""
        self.versions.pop(peer, None)
        node = self._nodes.get(peer.node)
        if node is not None and node.peer is peer:
            node.peer, node.state = None, "away"
            self._wants_nothing(node)

    def sweep(self) -> None:
        """Give up the nodes that have been silent for too long."""
        now, ledger = self._now, self._core.ledger
        # Where this server was itself stopped for a while, nobody could be heard.
        ledger.forgive(max(0.0, now - self._swept - 2 * SWEEP_SECONDS), now)
        self._swept = now
        for lines in (self._warnings, self._news):
            lines.sweep(now)
        for silent in ledger.expire(now):
            node = self._nodes[silent]
            silence = now - ledger.nodes[silent].heard
            what = f"has been silent for {silence:.0f} s, its leases go to others"
            self._tell(self._warnings, node, what)
            self._give_up(node, "lost")
        self._even_out()

    def _even_out(self) -> None:
        """What waits behind long tasks is had back for nodes that have nothing to do."""
        for holder, batch in self._evening.look(self._wanting.idle):
            node = self._nodes[holder]
            self._wants_nothing(node)  # until it has nothing to do itself, and says so
            if node.peer is not None:
                node.peer.push(Recall(batch))

    def _give_up(self, node: NodeState, state: str) -> None:
        held = self._held(node)
        node.heard = held.heard if held is not None else self._now
        del self._nodes[node.id], self._by_token[node.token]
        self._names.free(node.name)
        self._wants_nothing(node)
        node.state = state
        node.joined = self._now - node.joined
        self._gone.append(node)
        if node.peer is not None:
            # Should it wake up, it finds its connection closed, comes back and presents what it
            # holds.
            node.peer.node = 0
            if state == "lost":
                node.peer.close()
        self._core.leave(node.id)

    def list_nodes(self, peer: Peer, number: int, request: GetNodes) -> None:
        """A page of the nodes that are there, and of those lately gone."""
        self._core.tell(lambda: peer.answer(number, lambda: self._listed(request.after)))

    def _listed(self, after: int) -> Nodes:
        known = self._nodes | {node.id: node for node in self._gone}
        return listed(self._core.ledger, known, after, self._now)

    def drain_node(self, peer: Peer, number: int, request: DrainNode) -> None:
        """Somebody wants a node to finish what runs and to leave."""
        node = self._find(request.ref)
        self._drain(node)
        self._core.tell(lambda: peer.reply(number, Draining(node.id, node.name)))

    def _find(self, ref: str) -> NodeState:
        """A node by its id or its name.

        Raises:
            RequestError: there is none.
        """
        for node in self._nodes.values():
            if ref in (str(node.id), node.name):
                return node
        known = ", ".join(sorted(node.name for node in self._nodes.values())[:10]) or "none"
        raise RequestError("unknown-node", f"there is no node {clipped(ref)!r} (there is: {known})")

    def _drain(self, node: NodeState) -> None:
        self._core.ledger.drain(node.id)
        self._wants_nothing(node)
        if node.peer is not None:
            node.peer.push(Drain())

    # -- work ---------------------------------------------------------------------------------

    def want(self, peer: Peer, number: int, request: Want) -> None:
        """A node has room."""
        del number
        self._want(self._node_of(peer), request)

    def _want(self, node: NodeState, request: Want) -> None:
        if self._core.ledger.nodes[node.id].draining:
            return
        node.want = max(0, min(request.free, node.slots))
        node.idle = max(0, min(request.idle, node.want))
        node.ahead = claims.plausible(request.ahead)
        self._wanting.put(node)
        if node.want:
            self._core.plan_flush()

    def _wants_nothing(self, node: NodeState) -> None:
        node.want = 0
        self._wanting.drop(node)

    def hand_out(self) -> None:
        """Lease what is pending to the nodes that want some, first to those with an idle slot."""
        # Thousands may wait for work, and need not be copied in each turn without any.
        if not self._core.ledger.exhausted:
            self._serve(self._wanting.idle)
        if not self._core.ledger.exhausted:
            self._serve(self._wanting.ahead)

    def _serve(self, wanting: dict[int, NodeState]) -> None:
        """Lease to these, longest waiting first."""
        ledger, waiting = self._core.ledger, deque(wanting.values())
        while waiting and not ledger.exhausted:
            node = waiting.popleft()
            if node.peer is None:
                continue
            grant = self._core.lease(node.id, node.token, node.want, node.idle, node.ahead)
            if grant is None:  # there may be something, but not for this node
                if ledger.for_idle_alone and not node.idle:
                    return
                continue
            send = functools.partial(self._send, node, node.peer, grant)
            if not self._attempt(send, node, node.peer, grant):
                continue
            node.given(size_of(grant.ranges), grant.mean)
            self._wanting.drop(node)
            self._wanting.put(node)
            if node.id in wanting:  # of another batch, after those that had nothing yet
                waiting.append(node)

    def _send(self, node: NodeState, peer: Peer, grant: Grant) -> None:
        blocks = inline_blocks(self._core.block, grant.batch, grant.ranges)
        lease = Lease(grant.batch, grant.ranges, grant.mean, blocks, grant.pace)
        batch = self._core.ledger.batches[grant.batch]
        if not batch.binding:
            peer.push(lease)
            return

        def push() -> None:
            if node.peer is peer and node.id in batch.leased:
                peer.push(lease)
            elif node.peer is peer:  # it was taken back meanwhile, and the node still waits
                tasks = size_of(grant.ranges)
                self._want(node, Want(node.want + tasks, node.idle + tasks))

        def attempt() -> None:
            self._attempt(push, node, peer, grant)

        self._core.answer(attempt)  # who has it is journalled before

    def _attempt(self, send: Callable[[], None], node: NodeState, peer: Peer, grant: Grant) -> bool:
        """Tell a node of its lease; whether that could be done, and it costs no other node its own.

        Nobody would ever run what a node holds and was not told of. On its next connection it says
        anew what it wants.
        """
        try:
            send()
        except Exception:
            log.exception("a lease of batch %d cannot be sent, and is taken back", grant.batch)
            self._core.give_back(node.id, grant.batch, grant.ranges)
            self._wants_nothing(node)
            peer.close()
            return False
        return True

    def report(self, peer: Peer, number: int, request: Report) -> None:
        """Journal what came of a node's leases."""
        self._core.check_room()
        node = self._node_of(peer)
        returned = claims.checked(request.returned, MAX_ITEMS)
        for part in request.parts:
            if self._knows(part.batch):
                self._take(node, part)
        for failed in request.failed:
            if self._knows(failed.batch):
                seconds = claims.plausible(failed.seconds)
                verdict = self._core.record_failed(node.id, node.token, failed, seconds)
                if verdict is Verdict.DROPPED:
                    what = f"a late failure of batch {failed.batch}, task {failed.index}"
                    self._tell(self._news, node, f"{what}, was dropped")
                node.failed += 1
        for batch, ranges in returned.items():
            self._core.give_back(node.id, batch, ranges)
        if request.want is not None:
            self._want(node, request.want)
        self._core.answer(lambda: peer.acknowledge(number, Done()))

    def _take(self, node: NodeState, part: Part) -> None:
        count = part.stop - part.start
        if not 0 <= part.start < part.stop or len(part.seconds) != 4 * count:
            raise RequestError("bad-request", f"[{part.start}, {part.stop}) is not a part")
        elapsed = claims.plausible(sum(array.array("f", part.seconds)))
        taken = self._core.record_done(
            part.batch, node.id, (part.start, part.stop), part.payload, part.seconds, elapsed
        )
        if taken:
            node.done += count
        else:
            what = f"results of batch {part.batch}, [{part.start}, {part.stop}), came again"
            self._tell(self._news, node, what)

    def _knows(self, batch: int) -> bool:
        return batch in self._core.infos

    def _node_of(self, peer: Peer) -> NodeState:
        node = self._nodes.get(peer.node)
        if node is None:
            raise RequestError("unknown-node", "this connection has not joined as a node")
        self._core.ledger.heartbeat(node.id, self._now)
        return node

    def drop(self, batch: int) -> None:
        """Tell the nodes that hold some of a batch that nobody wants it any more."""
        for peer in self._holders(batch):
            peer.push(Dropped(batch))

    def recall(self, batch: int) -> None:
        """Have the nodes give back what they have not begun of a batch."""
        for peer in self._holders(batch):
            peer.push(Recall(batch))

    def _holders(self, batch: int) -> list[Peer]:
        holders = (self._nodes.get(node) for node in self._core.ledger.batches[batch].leased)
        return [node.peer for node in holders if node is not None and node.peer is not None]
