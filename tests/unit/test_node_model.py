"""A node between a server, an engine and a connection that breaks: nothing is forgotten."""

from __future__ import annotations

import array

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from farm.batch.ranges import RangeSet
from farm.engines import base
from farm.node import Node
from farm.wire.leases import Lease, Report

SECONDS = array.array("f", [0.001]).tobytes()


def indices(ranges) -> set[int]:
    return {index for start, stop in ranges for index in range(start, stop)}


class NodeMachine(RuleBasedStateMachine):
    """A server that leases, an engine that runs, a connection that breaks, and a node between.

    Each index that was leased is in exactly one of: what the node holds, what it has returned,
    what the server has acknowledged.
    """

    BATCHES = (1, 2)
    ONCE = 2  # its tasks must not run twice

    def __init__(self) -> None:
        super().__init__()
        self.node = Node(2)
        self.next = dict.fromkeys(self.BATCHES, 0)
        self.leased: set[tuple[int, int]] = set()
        self.running: dict[int, base.Chunk] = {}
        self.over: dict[int, set[int]] = {}
        self.sent: dict[int, Report] = {}
        self.number = 0
        self.settled: set[tuple[int, int]] = set()
        self.lost: set[tuple[int, int]] = set()  # must not run again
        self.dropped: set[tuple[int, int]] = set()  # reports of these may still be on their way

    @rule(batch=st.sampled_from(BATCHES), count=st.integers(1, 9), gap=st.integers(0, 2),
          mean=st.sampled_from([0.0, 0.001, 10.0]))  # fmt: skip
    def lease(self, batch: int, count: int, gap: int, mean: float) -> None:
        start = self.next[batch] + gap
        self.next[batch] = start + count
        self.node.lease(Lease(batch, [(start, start + count)], mean))
        self.leased |= {(batch, index) for index in range(start, start + count)}

    @rule(batch=st.sampled_from(BATCHES))
    def program_comes(self, batch: int) -> None:
        self.node.program_ready(batch, by_value=False, once=batch == self.ONCE)

    @rule(idle=st.integers(0, 2), ahead=st.integers(0, 2))
    def run(self, idle: int, ahead: int) -> None:
        chunks = self.node.chunks(idle, ahead)
        assert sum(not behind for _, behind in chunks) <= idle
        assert sum(behind for _, behind in chunks) <= ahead
        for chunk, _ in chunks:
            assert chunk.id not in self.running
            self.running[chunk.id] = chunk
            self.over[chunk.id] = set()
            mine = {(chunk.batch, index) for index in range(chunk.start, chunk.stop)}
            assert not mine & self.lost, "run again although it may have run"

    def _open(self, data: st.DataObject) -> tuple[base.Chunk, list[int]]:
        chunk = self.running[data.draw(st.sampled_from(sorted(self.running)))]
        return chunk, sorted(set(range(chunk.start, chunk.stop)) - self.over[chunk.id])

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def some_are_done(self, data: st.DataObject) -> None:
        chunk, left = self._open(data)
        if left:
            stop = left[0] + 1
            while stop in left and data.draw(st.booleans()):
                stop += 1
            part = base.Part(chunk.id, chunk.batch, left[0], stop, b"p", SECONDS * (stop - left[0]))
            self.over[chunk.id] |= set(range(left[0], stop))
            self.node.events([part])

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def one_fails(self, data: st.DataObject) -> None:
        chunk, left = self._open(data)
        if left:
            self.over[chunk.id].add(left[0])
            self.node.events([
                base.Failed(chunk.id, chunk.batch, left[0], "error", "E", "m", "t", None, 0.1)
            ])  # fmt: skip

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_chunk_ends(self, data: st.DataObject) -> None:
        """Because it is done, or because its slot died, which may have begun the rest."""
        chunk, left = self._open(data)
        del self.running[chunk.id]
        lost = list(RangeSet((index, index + 1) for index in left))
        begun = data.draw(st.booleans())
        if begun and chunk.batch == self.ONCE:
            self.lost |= {(chunk.batch, index) for index in left}
        self.node.events([base.Ended(chunk.id, chunk.batch, lost, begun=begun)])

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def the_rest_of_a_chunk_is_returned(self, data: st.DataObject) -> None:
        """Of tasks that must not run twice a chunk has no rest."""
        chunk, left = self._open(data)
        if len(left) > 1 and chunk.batch != self.ONCE:
            at = data.draw(st.sampled_from(left[1:]))
            self.running[chunk.id] = base.Chunk(chunk.id, chunk.batch, chunk.start, at)
            self.node.events([base.Returned(chunk.id, chunk.batch, [(at, chunk.stop)])])

    @rule(batch=st.sampled_from(BATCHES))
    def the_batch_is_paused(self, batch: int) -> None:
        self.node.recall(batch)

    @rule()
    def report(self) -> None:
        while (report := self.node.delivery.report(self.number + 1)) is not None:
            self.number += 1
            self.sent[self.number] = report

    @precondition(lambda self: self.sent)
    @rule()
    def the_oldest_report_is_acknowledged(self) -> None:
        number = min(self.sent)
        self._settle(self.sent.pop(number))
        self.node.delivery.acknowledged(number)

    def _settle(self, report: Report) -> None:
        told = [(p.batch, i) for p in report.parts for i in range(p.start, p.stop)]
        told += [(failed.batch, failed.index) for failed in report.failed]
        told += [(back.batch, i) for back in report.returned for i in indices(back.ranges)]
        told = [task for task in told if task not in self.dropped]
        assert len(told) == len(set(told)), "told twice in one report"
        assert not set(told) & self.settled, "told again after it was acknowledged"
        self.settled |= set(told)

    @rule()
    def the_connection_breaks_and_the_node_is_back(self) -> None:
        """What it does not present is given to others: it must not run or report that."""
        self.node.disconnected()
        self.sent.clear()
        presented = {(held.batch, i) for held in self.node.held() for i in indices(held.ranges)}
        presented |= {(failed.batch, failed.index) for failed in self.node.delivery.failures()}
        self.settled |= self.leased - presented  # dropped ones are not among the leased

    @rule(batch=st.sampled_from(BATCHES))
    def the_batch_is_dropped(self, batch: int) -> None:
        self.node.dropped(batch)
        for chunk in [c for c in self.running.values() if c.batch == batch]:
            del self.running[chunk.id]
            self.node.events([base.Ended(chunk.id, batch, [(chunk.start, chunk.stop)])])
        self.dropped |= {task for task in self.leased if task[0] == batch}
        self.leased = {task for task in self.leased if task[0] != batch}
        self.settled = {task for task in self.settled if task[0] != batch}

    @rule()
    def drain(self) -> None:
        self.node.drain()

    @invariant()
    def everything_leased_is_in_exactly_one_place(self) -> None:
        held = {(h.batch, i) for h in self.node.held() for i in indices(h.ranges)}
        held |= {(failed.batch, failed.index) for failed in self.node.delivery.failures()}
        waiting = [*self.sent.values(), Report([], [], self.node.delivery._returned)]
        returned = {
            (back.batch, i) for report in waiting for back in report.returned
            for i in indices(back.ranges)
        }  # fmt: skip
        held, returned = held - self.dropped, returned - self.dropped
        assert held & returned == set()
        assert held & self.settled == set()
        assert held | returned | self.settled == self.leased

    @invariant()
    def the_engine_runs_only_what_is_held(self) -> None:
        held = {(h.batch, i) for h in self.node.held() for i in indices(h.ranges)}
        for chunk in self.running.values():
            left = set(range(chunk.start, chunk.stop)) - self.over[chunk.id]
            assert {(chunk.batch, index) for index in left} <= held

    @invariant()
    def bytes_are_counted(self) -> None:
        sent = [len(part.payload) for report in self.sent.values() for part in report.parts]
        waiting = [part.size for part in self.node.delivery._parts]
        assert self.node.delivery.bytes == sum(sent) + sum(waiting)

    @invariant()
    def it_is_drained_when_nothing_is_owed(self) -> None:
        if self.node.draining and not self.running:
            over = self.leased <= self.settled and not self.sent
            assert over or not self.node.drained
            if not self.dropped:  # of those something may be told yet
                assert self.node.drained is over


TestNode = NodeMachine.TestCase
TestNode.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
