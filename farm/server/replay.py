"""The ledger as it was: what a journal holds becomes state again. Pure."""

from __future__ import annotations

from farm.batch.ranges import RangeSet
from farm.server.holding import hold
from farm.server.ledger import Ledger
from farm.server.states import Range


class Replay:
    """Puts back what was journalled, in the order of its methods.

    Args:
        ledger: with the batches, all of them pending, and the nodes that held something.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def ended(self, batch: int, failed: RangeSet) -> None:
        """All tasks of a batch have an outcome; these have failed."""
        everything = RangeSet([(0, self._ledger.batches[batch].total)])
        self.recorded(batch, everything, failed)

    def recorded(self, batch: int, recorded: RangeSet, failed: RangeSet) -> None:
        """These tasks of a batch have an outcome, of which these have failed; all at once."""
        state = self._ledger.batches[batch]
        state.pending, state.failed = recorded.gaps(state.total), failed
        state.done = recorded - failed
        for start, stop in failed:
            for index in range(start, stop):
                state.attempts[index] = state.attempts.get(index, 0) + 1

    def outcomes(self, batch: int, done: RangeSet, failed: RangeSet) -> None:
        """Some more outcomes."""
        state = self._ledger.batches[batch]
        state.done |= done
        state.failed |= failed
        for known in (done, failed):
            state.pending -= known
            state.again.take_all(known)
        for index in (index for part in failed for index in range(*part)):
            state.attempts[index] = state.attempts.get(index, 0) + 1

    def dropped(self, batch: int, ranges: list[Range] | None) -> None:
        """What of a cancelled batch is not wanted; all that has no outcome if None.

        Called after the batch's outcomes were restored.
        """
        state = self._ledger.batches[batch]
        state.cancelled, state.open = True, False
        if ranges is None:
            state.dropped, state.pending = state.pending, RangeSet()
        else:
            state.dropped = RangeSet(ranges)
            state.pending -= state.dropped
        self._ledger.rank(state)

    def share(self, batch: int, node: str, done: int, seconds: float) -> None:
        """What a node did for a batch; seconds of failed tasks come with ``done`` 0."""
        state = self._ledger.batches[batch]
        state.seconds += seconds
        if done:
            share = state.share_of(node)
            share.done += done
            share.seconds += seconds

    def attempt(
        self, batch: int, index: int, kind: str, *, seconds: float, counts: bool, mark: str = ""
    ) -> None:
        """A failed attempt that the journal holds, of a task that was tried again.

        Args:
            batch: the batch's id.
            index: the task.
            kind: of the failure.
            seconds: that it took.
            counts: whether it still does, or `retry` came after it.
            mark: tells it from all others.
        """
        state = self._ledger.batches[batch]
        if mark:
            state.marks.setdefault(index, set()).add(mark)
        state.seconds += seconds
        state.retried += 1
        state.attempts[index] = state.attempts.get(index, 0) + 1
        if counts:
            counted = state.crashes if kind == "crash" else state.errors
            counted[index] = counted.get(index, 0) + 1

    def delay(self, batch: int, index: int, *, due: float, avoid: str, now: float) -> None:
        """A task that was to be tried again when the server ended."""
        state = self._ledger.batches[batch]
        if index in state.pending:
            state.pending.discard(index, index + 1)
            state.again.add(index, due=due, avoid=avoid, now=now)
            self._ledger.rank(state)

    def lease(self, node: int, batch: int, ranges: list[Range]) -> None:
        """What a node held when the server ended, and may still."""
        state = self._ledger.batches[batch]
        free = state.pending & RangeSet(ranges)
        state.pending -= free
        hold(state, self._ledger.nodes[node], free)
        self._ledger.rank(state)
