"""Who owes what: ranges of each batch that are pending, leased, done, failed. Pure.

No I/O, no threads, no clock. Every index of a batch is in exactly one of: pending, leased to one
node, done, failed, cancelled. An outcome, once recorded, does not change. What the ledger says was
recorded is what the server journals.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.server.states import Batch, Node, Range, Share, outside

LEASE_SECONDS = 0.2
"""Work a lease holds for each slot: long enough that the server's work a task vanishes."""

MAX_LEASE = 1 << 20
"""Tasks in one lease, whatever they cost."""

CRASH_LIMIT = 3
"""Slots that one task may take with it before it is recorded as failed."""

_LEAST_MEAN = 1e-9  # seconds; 0 would say that nothing is known
_MEAN_WEIGHT = 0.3  # of the newest part in the running mean of a batch's task time


class Verdict(enum.Enum):
    """What becomes of a failed attempt."""

    RETRY = "retry"
    FINAL = "final"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease that was just made."""

    batch: int
    ranges: list[Range]
    mean: float


class Ledger:
    """All batches and nodes.

    Example:
        >>> ledger = Ledger()
        >>> _ = ledger.submit(1, 10, Options())
        >>> _ = ledger.join(1, "node7", 2)
        >>> ledger.lease(1, 2)
        Grant(batch=1, ranges=[(0, 2)], mean=0.0)
        >>> ledger.complete(1, 1, 0, 2, seconds=0.1)
        [(0, 2)]
    """

    def __init__(self) -> None:
        self.batches: dict[int, Batch] = {}
        self.nodes: dict[int, Node] = {}
        self._slots = 0
        # Batches with something pending, as (-priority, busy slots, id). Entries that no longer
        # hold are dropped when they come to the top: `Batch.entry` is the one that counts.
        self._ready: list[tuple[int, int, int]] = []

    # -- batches ------------------------------------------------------------------------------

    def submit(self, batch: int, total: int, options: Options, *, open: bool = False) -> Batch:  # noqa: A002
        """A new batch, all of it pending; ``open`` says that it may grow."""
        made = Batch(batch, total, options, open=open)
        if total:
            made.pending.add(0, total)
        self.batches[batch] = made
        self._rank(made)
        return made

    def extend(self, batch: int, total: int) -> None:
        """The batch has grown to ``total`` tasks."""
        state = self.batches[batch]
        if state.open and not state.cancelled and total > state.total:
            state.pending.add(state.total, total)
            state.total = total
            self._rank(state)

    def close(self, batch: int) -> None:
        """The batch grows no more."""
        self.batches[batch].open = False

    def cancel(self, batch: int) -> bool:
        """Give up what has no outcome; False if the batch had ended."""
        state = self.batches[batch]
        if state.ended:
            return False
        state.cancelled = True
        state.open = False
        for node in list(state.leased):
            self._settle(state, node)
        state.pending = RangeSet()
        return True

    # -- nodes --------------------------------------------------------------------------------

    def join(self, node: int, name: str, slots: int) -> Node:
        """A node has come, or has come back."""
        known = self.nodes.setdefault(node, Node(node, name, 0))
        for batch in known.batches:
            state = self.batches[batch]
            held = state.leased[node].count
            state.busy += min(slots, held) - min(known.slots, held)
            self._rank(state)
        self._slots += slots - known.slots
        known.slots = slots
        return known

    def leave(self, node: int) -> None:
        """The node is gone: everything it held is pending again."""
        gone = self.nodes.pop(node, None)
        if gone is None:
            return
        self._slots -= gone.slots
        for batch in list(gone.batches):
            state = self.batches[batch]
            held = list(state.leased.get(node, ()))
            self._settle(state, node, slots=gone.slots)
            self._return(state, held)

    def present(
        self, node: int, held: Iterable[tuple[int, list[Range]]]
    ) -> Iterator[tuple[int, list[Range]]]:
        """A node came back and says what it holds: yields what of that it is to drop.

        What the ledger thought it held beyond that is pending again: it never reached the node,
        or the node has lost it.
        """
        claims = {batch: ranges for batch, ranges in held if batch in self.batches}
        for batch, ranges in held:
            if batch not in self.batches:
                yield batch, ranges
        for batch in set(claims) | set(self.nodes[node].batches):
            state = self.batches[batch]
            claimed = RangeSet(claims.get(batch, []))
            owned = list(state.leased.get(node, ()))
            self.give_back(node, batch, [gap for r in owned for gap in outside(r, claimed)])
            self._adopt(state, node, claimed)
            kept = state.leased.get(node, RangeSet())
            drop = [gap for r in claimed for gap in outside(r, kept)]
            if drop:
                yield batch, drop

    def _adopt(self, state: Batch, node: int, claimed: RangeSet) -> None:
        """What a node brings back and nobody else was given is leased to it again."""
        for start, stop in claimed:
            for free in state.pending.intersection(start, stop):
                state.pending.discard(*free)
                self._hold(state, node, [free])
        self._rank(state)

    # -- leases -------------------------------------------------------------------------------

    def lease(self, node: int, free: int) -> Grant | None:
        """Work for ``free`` slots of a node: of the highest priority, then of the fewest slots."""
        state = self._next()
        if state is None:
            return None
        holder = self.nodes[node]
        ranges = state.pending.take(self._size(state, holder, free))
        self._hold(state, node, ranges)
        self._rank(state)
        return Grant(state.id, ranges, state.mean)

    def lease_one(self, node: int, batch: int) -> int | None:
        """One task of one batch for a node, whatever else is pending."""
        state = self.batches[batch]
        ranges = state.pending.take(1)
        if not ranges:
            return None
        self._hold(state, node, ranges)
        self._rank(state)
        return ranges[0][0]

    def _size(self, state: Batch, node: Node, free: int) -> int:
        """How many tasks to hand out.

        About `LEASE_SECONDS` of work for each slot of the node, but no more than its share of
        half of what is left: guided self-scheduling (Polychronopoulos and Kuck, IEEE Transactions
        on Computers C-36(12), 1987), so that all slots end at about the same time.
        """
        if state.mean <= 0.0:
            return free  # nothing is known yet: one task a slot tells
        worth = int(LEASE_SECONDS / state.mean) * node.slots
        guided = -(-state.pending.count // (2 * max(1, self._slots))) * node.slots
        return max(free, min(worth, guided, MAX_LEASE))

    def _next(self) -> Batch | None:
        while self._ready:
            entry = self._ready[0]
            state = self.batches.get(entry[2])
            if state is not None and state.entry == entry and state.pending:
                return state
            heapq.heappop(self._ready)
            if state is not None and state.entry == entry:
                state.entry = None
        return None

    def _rank(self, state: Batch) -> None:
        """Put the batch where it now belongs among those that have something pending."""
        if not state.pending:
            return
        entry = (-state.options.priority, state.busy, state.id)
        if state.entry != entry:
            state.entry = entry
            heapq.heappush(self._ready, entry)
        if len(self._ready) > 64 + 4 * len(self.batches):
            self._ready = sorted(b.entry for b in self.batches.values() if b.entry and b.pending)

    def _hold(self, state: Batch, node: int, ranges: list[Range]) -> None:
        held = state.leased.setdefault(node, RangeSet())
        slots = self.nodes[node].slots
        state.busy -= min(slots, held.count)
        for start, stop in ranges:
            held.add(start, stop)
            state.running += stop - start
        state.busy += min(slots, held.count)
        self.nodes[node].batches.add(state.id)

    def _release(self, state: Batch, node: int, start: int, stop: int) -> None:
        """``[start, stop)`` is no longer leased to the node (nor was all of it, maybe)."""
        held = state.leased.get(node)
        if held is None:
            return
        slots = self.nodes[node].slots
        before = held.count
        held.discard(start, stop)
        state.running -= before - held.count
        state.busy += min(slots, held.count) - min(slots, before)
        if not held:
            self._settle(state, node)

    def _settle(self, state: Batch, node: int, slots: int | None = None) -> None:
        """The node holds nothing of the batch any more."""
        held = state.leased.pop(node, None)
        if held is None:
            return
        slots = self.nodes[node].slots if slots is None else slots
        state.running -= held.count
        state.busy -= min(slots, held.count)
        if node in self.nodes:
            self.nodes[node].batches.discard(state.id)

    def _return(self, state: Batch, ranges: Iterable[Range]) -> None:
        if state.cancelled:
            return
        for start, stop in ranges:
            state.pending.add(start, stop)
        self._rank(state)

    def give_back(self, node: int, batch: int, ranges: Iterable[Range]) -> None:
        """The node could not run these; they are pending again."""
        state = self.batches.get(batch)
        if state is None or node not in state.leased:
            return
        for start, stop in ranges:
            held = state.leased.get(node)
            back = held.intersection(start, stop) if held else []
            self._release(state, node, start, stop)
            self._return(state, back)

    # -- outcomes -----------------------------------------------------------------------------

    def complete(
        self, node: int, batch: int, start: int, stop: int, *, seconds: float
    ) -> list[Range]:
        """Tasks are done; the ranges that are thereby recorded, without what already was.

        Args:
            node: who says so; whoever holds the lease, what is still owed is taken.
            batch: the batch's id.
            start: the first index.
            stop: the index after the last one.
            seconds: what the tasks took, all together.
        """
        state = self.batches.get(batch)
        if state is None:
            return []
        fresh = state.owes(start, stop)
        if not fresh:
            return []
        mean = max(seconds / (stop - start), _LEAST_MEAN)
        state.mean = mean if not state.mean else state.mean + _MEAN_WEIGHT * (mean - state.mean)
        for part in fresh:
            self._record(state, node, part)
            state.done.add(*part)
        count = sum(stop - start for start, stop in fresh)
        self._credit(state, node, count, mean * count)
        self._rank(state)
        return fresh

    def _record(self, state: Batch, node: int, part: Range) -> None:
        """Take a range from wherever it is, because it has an outcome now."""
        held = state.leased.get(node)
        mine = sum(stop - start for start, stop in held.intersection(*part)) if held else 0
        self._release(state, node, *part)
        if mine == part[1] - part[0]:
            return  # nobody else can have any of it: a thousand nodes need not be looked at
        state.pending.discard(*part)
        for other in [n for n, held in state.leased.items() if held.intersection(*part)]:
            self._release(state, other, *part)

    def _credit(self, state: Batch, node: int, done: int, seconds: float) -> None:
        state.seconds += seconds
        if node in self.nodes:
            share = state.shares.setdefault(self.nodes[node].name, Share())
            share.done += done
            share.seconds += seconds

    def fail(
        self, node: int, batch: int, index: int, kind: str, *, seconds: float = 0.0
    ) -> Verdict:
        """An attempt failed. Only the lease's holder is believed, and only once a lease."""
        state = self.batches.get(batch)
        held = state.leased.get(node) if state else None
        if state is None or held is None or index not in held:
            return Verdict.DROPPED
        state.seconds += seconds
        attempts = state.attempts[index] = state.attempts.get(index, 0) + 1
        if kind == "crash":
            crashes = state.crashes[index] = state.crashes.get(index, 0) + 1
            again = crashes < CRASH_LIMIT
        else:
            again = attempts - state.crashes.get(index, 0) <= state.options.retries
        self._release(state, node, index, index + 1)
        if again:
            state.retried += 1
            self._return(state, [(index, index + 1)])
            return Verdict.RETRY
        state.failed.add(index, index + 1)
        self._rank(state)
        return Verdict.FINAL

    # -- replay -------------------------------------------------------------------------------

    def restore(
        self, batch: int, start: int, stop: int, *, failed: bool, node: str, seconds: float
    ) -> None:
        """An outcome that the journal holds."""
        state = self.batches[batch]
        state.pending.discard(start, stop)
        (state.failed if failed else state.done).add(start, stop)
        state.seconds += seconds
        if not failed:
            share = state.shares.setdefault(node, Share())
            share.done += stop - start
            share.seconds += seconds
        for index in range(start, stop) if failed else ():
            state.attempts[index] = state.attempts.get(index, 0) + 1

    def restore_attempt(self, batch: int, index: int, kind: str, *, seconds: float) -> None:
        """A failed attempt that the journal holds, of a task that was tried again."""
        state = self.batches[batch]
        state.seconds += seconds
        state.attempts[index] = state.attempts.get(index, 0) + 1
        state.retried += 1
        if kind == "crash":
            state.crashes[index] = state.crashes.get(index, 0) + 1
