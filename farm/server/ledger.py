"""Who owes what: ranges of each batch that are pending, leased, done, failed. Pure.

No I/O, no threads, no clock: time is passed in, in seconds of any clock that only goes forward.
Every index of a batch is in exactly one place (see `farm.server.states.Batch`). An outcome, once
recorded, does not change; only `retry` takes one back, because somebody asked for it. What the
ledger says was recorded is what the server journals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.server import attempts
from farm.server.again import ANYWHERE, MAX_RANGES
from farm.server.holding import hold, release, release_all, release_whole, resize, settle
from farm.server.pace import Pace
from farm.server.schedule import Schedule
from farm.server.sizing import lease_size
from farm.server.states import Batch, Grant, Node, Range, Verdict, size_of
from farm.wire.messages import MAX_CLAIMS

SILENT_SECONDS = 10.0
"""A node of which nothing was heard for so long gives up its leases."""

MAX_STRICT = 2
"""Tasks for each slot that a node may bring back of a batch whose tasks are leased to idle slots
alone: those that run, and those whose failure has not been heard. If its leases bind, each of them
is journalled."""


class Ledger:
    """All batches and nodes.

    Args:
        chance: gives a number from 0 to 1, for the jitter of retries.

    Example:
        >>> ledger = Ledger()
        >>> _ = ledger.submit(1, 10, Options())
        >>> _ = ledger.join(1, "node7", 2, now=0.0)
        >>> ledger.lease(1, 2, idle=2, now=0.0)
        Grant(batch=1, ranges=[(0, 2)], mean=0.0, pace=0.0)
        >>> ledger.complete(1, 1, 0, 2, seconds=0.1)
        [(0, 2)]
    """

    def __init__(self, chance: Callable[[], float] = lambda: 0.5) -> None:
        self.batches: dict[int, Batch] = {}
        self.nodes: dict[int, Node] = {}
        self._chance = chance
        self._schedule = Schedule(self.batches)
        self._slots = 0
        self.pace = 0.0
        """Seconds between two reports of a node, from its next lease (see `farm.server.load`)."""

    # -- batches ------------------------------------------------------------------------------

    def submit(
        self, batch: int, total: int, options: Options, *, open: bool = False, paused: bool = False  # noqa: A002
    ) -> Batch:  # fmt: skip
        """A new batch, all of it pending; ``open`` says that it may grow."""
        made = Batch(batch, total, options, open=open, paused=paused)
        if options.rate is not None:
            made.pace = Pace(options.rate, self._schedule.now)
        if total:
            made.pending.add(0, total)
        self.batches[batch] = made
        self.rank(made)
        return made

    def extend(self, batch: int, total: int) -> None:
        """The batch has grown to ``total`` tasks."""
        state = self.batches[batch]
        if state.open and total > state.total:
            state.pending.add(state.total, total)
            state.total = total
            self.rank(state)

    def close(self, batch: int) -> None:
        """The batch grows no more."""
        self.batches[batch].open = False

    def cancel(self, batch: int) -> bool:
        """Give up what has no outcome; False if the batch had ended."""
        state = self.batches[batch]
        if state.ended:
            return False
        state.cancelled = True
        state.open = state.paused = False  # what is tried again later is not to wait for `resume`
        held = [settle(state, self.nodes[node]) for node in list(state.leased)]
        again = state.again.take_all(RangeSet([(0, state.total)]))
        waiting, state.pending = state.pending, RangeSet()
        waiting |= RangeSet.union([state.dropped, again, *held])
        state.dropped = waiting
        self.rank(state)
        return True

    def pause(self, batch: int) -> bool:
        """Lease nothing more of a batch; False if it is paused already, or has ended."""
        state = self.batches[batch]
        if state.paused or state.ended:
            return False
        state.paused = True
        self.rank(state)
        return True

    def resume(self, batch: int) -> bool:
        """Go on with a paused batch; False if it is not paused."""
        state = self.batches[batch]
        if not state.paused:
            return False
        state.paused = False
        state.again.wake(self._schedule.now)  # delays went on meanwhile
        self.rank(state)
        return True

    def retry(self, batch: int, wanted: attempts.Wanted) -> attempts.Withdrawn:
        """Make tasks pending again that failed or were cancelled, as if never tried."""
        state = self.batches[batch]
        found = attempts.withdraw(state, wanted)
        state.retried += found.failed.count
        state.cancelled = bool(state.dropped)
        self.rank(state)
        return found

    def forget(self, batch: int) -> None:
        """A batch that has ended is not kept any more."""
        del self.batches[batch]

    # -- nodes --------------------------------------------------------------------------------

    def join(self, node: int, name: str, slots: int, *, now: float = 0.0) -> Node:
        """A node has come, or has come back."""
        known = self.nodes.setdefault(node, Node(node, name, 0, now))
        for batch in known.batches:
            resize(self.batches[batch], known, slots)
            self.rank(self.batches[batch])
        self._slots += slots - known.slots
        known.slots = slots
        known.heard = max(known.heard, now)
        return known

    def heartbeat(self, node: int, now: float) -> bool:
        """A node was heard; False if it was given up, and must join again."""
        known = self.nodes.get(node)
        if known is None:
            return False
        known.heard = max(known.heard, now)
        return True

    def expire(self, now: float) -> list[int]:
        """The nodes that have been silent for too long, for `leave`. Plain ones are never silent:
        their leases are bound to their connection."""
        return [n.id for n in self.nodes.values() if n.id > 0 and now - n.heard > SILENT_SECONDS]

    def forgive(self, seconds: float, now: float) -> None:
        """For so long until ``now`` nobody was heard, because the server itself was stopped."""
        if seconds:
            for node in self.nodes.values():
                node.heard = min(node.heard + seconds, now)  # some may have been heard since

    def drain(self, node: int) -> None:
        """A node takes nothing new."""
        self.nodes[node].draining = True

    def leave(self, node: int) -> list[tuple[int, RangeSet]]:
        """The node is gone: what it held is pending again, or was lost with it.

        Returns:
            The tasks that must not run twice and have therefore failed now, by batch.
        """
        gone = self.nodes.pop(node, None)
        if gone is None:
            return []
        self._slots -= gone.slots
        lost = []
        for batch in sorted(gone.batches):
            state = self.batches[batch]
            held = settle(state, gone)
            if state.options.rerun:
                state.pending |= held
            else:
                lost.append((batch, held))
                state.failed |= held
                for index in (index for part in held for index in range(*part)):
                    attempts.count(state, index, "lost")
            self.rank(state)
        return lost

    def present(
        self, node: int, held: Mapping[int, list[Range]]
    ) -> Iterator[tuple[int, list[Range]]]:
        """A node came back and says what it holds: yields what of that it is to drop.

        What the ledger thought it held beyond that is pending again: it never reached the node,
        or the node has lost it.
        """
        for batch, ranges in held.items():
            if batch not in self.batches:
                yield batch, ranges
        known = (self.batches.keys() & held.keys()) | self.nodes[node].batches
        for batch in sorted(known):
            drop = self._claim(self.batches[batch], self.nodes[node], held.get(batch, []))
            if drop:
                yield batch, list(drop)

    def _claim(self, state: Batch, node: Node, ranges: list[Range]) -> RangeSet:
        """What a node brings back and nobody else was given is leased to it again; the rest."""
        claimed, owned = RangeSet(ranges), state.leased.get(node.id, RangeSet())
        news, lost = claimed - owned, owned - claimed
        release_all(state, node, lost)
        state.pending |= lost
        free = self._take_free(state, news, node.slots)
        if free:
            hold(state, node, free)
        self.rank(state)
        return news - free

    def _take_free(self, state: Batch, news: RangeSet, slots: int) -> RangeSet:
        """What of it nobody has; nothing where it is more than a node can ever have held."""
        if state.strict and news.count > MAX_STRICT * slots:
            return RangeSet()
        free = state.pending & news
        if free.pieces > MAX_CLAIMS:
            return RangeSet()
        state.pending -= free
        return free | state.again.take_all(news)

    # -- leases -------------------------------------------------------------------------------

    def lease(
        self, node: int, free: int, *, idle: int, now: float, ahead: float = 0.0
    ) -> Grant | None:
        """Work for a node: of the highest priority, then of the fewest busy slots.

        Args:
            node: the node's id.
            free: slots that work is wanted for.
            idle: those of them that have nothing to do; only these get tasks of a batch that is
                limited in how many may run or begin, or whose tasks must not run twice.
            now: seconds.
            ahead: seconds of work that wait on the node, for each slot.
        """
        self.wake(now)
        holder = self.nodes[node]
        alone = not any(other.able for other in self.nodes.values() if other is not holder)
        state = self._schedule.choose(holder, idle, alone=alone)
        if state is None:
            return None
        # What is strict waits for idle slots, which a node that holds work for a pace has not.
        pace = self.pace if state.mean and not self._schedule.any_strict else 0.0
        size = lease_size(state, holder, free, self._slots, pace=pace, ahead=ahead)
        if state.strict:
            size = min(size, idle, self._schedule.room(state))
        ranges = state.again.take(size, holder.name, alone=alone)
        ranges += state.pending.take(size - size_of(ranges), MAX_RANGES - len(ranges))
        if state.pace is not None:
            state.pace.take(size_of(ranges), now)
        hold(state, holder, ranges)
        self.rank(state)
        return Grant(state.id, ranges, state.mean, pace)

    def lease_one(self, node: int, batch: int) -> int | None:
        """One task of one batch for a node, whatever else is pending."""
        state = self.batches[batch]
        state.again.wake(self._schedule.now)
        ranges = state.again.take(1, self.nodes[node].name, alone=True) or state.pending.take(1)
        if not ranges:
            return None
        hold(state, self.nodes[node], ranges)
        self.rank(state)
        return ranges[0][0]

    def wake(self, now: float) -> None:
        """It is ``now``: what was to wait until then is to be leased."""
        self._schedule.wake(now)

    @property
    def next_time(self) -> float | None:
        """When there may be more to lease although nothing else happens; None for never."""
        return self._schedule.next_time

    @property
    def exhausted(self) -> bool:
        """Whether the last `lease` gave nothing because there is nothing for any node."""
        return self._schedule.empty

    @property
    def for_idle_alone(self) -> bool:
        """Whether `lease` has nothing for a node without an idle slot."""
        return self._schedule.for_idle_alone

    def rank(self, state: Batch) -> None:
        """The batch has changed: whether it can be served, and before which others."""
        self._schedule.rank(state)

    def give_back(self, node: int, batch: int, ranges: Iterable[Range]) -> RangeSet:
        """The node has not begun these; they are pending again. Which of them it had."""
        state, holder = self.batches.get(batch), self.nodes.get(node)
        if state is None or holder is None:
            return RangeSet()
        returned = state.leased.get(node, RangeSet()) & RangeSet(ranges)
        release_all(state, holder, returned)
        state.pending |= returned
        self.rank(state)
        return returned

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
        holder = self.nodes.get(node)
        if holder is not None and release_whole(state, holder, start, stop):
            fresh = [(start, stop)]  # nobody else can have any of it, and nothing is recorded
        else:
            fresh = state.owes(start, stop)
            if size_of(fresh) < stop - start:
                state.repeated += size_of(state.done.intersection(start, stop))
            for part in fresh:
                self._withdraw(state, holder, part)
        if not fresh:
            return []
        mean = state.learn(seconds / (stop - start))
        for part in fresh:
            state.done.add(*part)
        count = size_of(fresh)
        self._credit(state, holder, count, mean * count)
        self.rank(state)
        return fresh

    def _withdraw(self, state: Batch, holder: Node | None, part: Range) -> None:
        """Take a range from wherever it is, because it has an outcome now."""
        if holder is not None and release_whole(state, holder, *part):
            return  # a thousand nodes need not be looked at
        state.pending.discard(*part)
        state.again.discard(*part)
        for other in list(state.leased):
            release(state, self.nodes[other], *part)

    def _credit(self, state: Batch, node: Node | None, done: int, seconds: float) -> None:
        state.seconds += seconds
        if node is not None:
            share = state.share_of(node.name)
            share.done += done
            share.seconds += seconds

    def fail(
        self, node: int, batch: int, index: int, kind: str, *, seconds: float = 0.0,
        now: float = 0.0, mark: str = "",
    ) -> tuple[Verdict, float]:  # fmt: skip
        """An attempt failed. Only the lease's holder is believed, and only once an attempt.

        Args:
            node: who says so.
            batch: the batch's id.
            index: the task.
            kind: of the failure.
            seconds: that the attempt took.
            now: seconds.
            mark: tells this failure from all others, so that it is not counted twice.

        Returns:
            What becomes of it; and for `Verdict.RETRY` after how many seconds.
        """
        state = self.batches.get(batch)
        held = state.leased.get(node) if state else None
        if state is None or held is None or index not in held or state.has_heard(index, mark):
            return Verdict.DROPPED, 0.0
        if mark:
            state.marks.setdefault(index, set()).add(mark)
        self.wake(now)
        state.seconds += seconds
        again = attempts.count(state, index, kind)
        holder = self.nodes[node]
        release(state, holder, index, index + 1)
        if not again:
            state.failed.add(index, index + 1)
            self.rank(state)
            return Verdict.FINAL, 0.0
        state.retried += 1
        delay = attempts.delay(state, index, self._chance)
        avoid = holder.name if holder.able else ANYWHERE
        state.again.add(index, due=now + delay, avoid=avoid, now=now)
        self.rank(state)
        return Verdict.RETRY, delay
