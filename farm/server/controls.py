"""What clients do to batches: cancel, pause, resume, retry, forget, and restore from elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from farm.batch.ranges import RangeSet
from farm.errors import RequestError
from farm.server.around import QUEUE_TOKEN
from farm.server.attempts import Wanted
from farm.server.core import Core
from farm.server.peers import Peer
from farm.server.pruning import Pruner
from farm.server.replay import Replay
from farm.server.states import Range
from farm.wire.controls import IMPORTING, Forget, Pause, Restore, Resume, Retried, Retry
from farm.wire.messages import Cancel, Done, Failure, Message, Outcome

BY_HAND = "by hand"
IMPORTED = "it was imported"
MAX_REASON = 500
"""Letters of a reason; what is longer is cut."""

MAX_RETRIED = 1_000
"""Failed tasks that are tried again at a time: each moves a row of the journal, which takes some 10
microseconds."""

MAX_ATTEMPTS = 2000
"""Of one task, in an outcome of another server."""

MAX_RESTORED = 10_000
"""Attempts in one message; each is a row of the journal, and others wait meanwhile."""


class Controls:
    """The requests that change a batch; each method answers through the peer.

    Args:
        core: the server's state.
        pruner: removes what is forgotten.
        recall: has the nodes give back what they have not begun of a batch.
    """

    def __init__(self, core: Core, pruner: Pruner, recall: Callable[[int], None]) -> None:
        self._core = core
        self._pruner = pruner
        self._recall = recall

    def cancel(self, peer: Peer, number: int, request: Cancel) -> None:
        """Give up what is not done of a batch."""
        batch = self._found(request.ref)
        self._core.cancel(batch, request.reason[:MAX_REASON] or BY_HAND)
        self._answer(peer, number, lambda: self._core.status(batch))

    def pause(self, peer: Peer, number: int, request: Pause) -> None:
        """Begin no further task of a batch."""
        core, batch = self._core, self._found(request.ref)
        if core.ledger.pause(batch):
            self._recall(batch)
            core.infos[batch].reason = BY_HAND
            self._changed(batch)
        self._answer(peer, number, lambda: core.status(batch))

    def resume(self, peer: Peer, number: int, request: Resume) -> None:
        """Go on with a batch."""
        core, batch = self._core, self._found(request.ref)
        self._check_whole(batch)
        if core.ledger.resume(batch):
            self._clear_reason(batch)
            self._changed(batch)
        self._answer(peer, number, lambda: core.status(batch))

    def retry(self, peer: Peer, number: int, request: Retry) -> None:
        """Try tasks again that failed or were cancelled."""
        core, batch = self._core, self._found(request.ref)
        self._check_whole(batch)
        total = core.ledger.batches[batch].total
        ranges, start = _checked(request.ranges, total), max(0, min(request.start, total))
        wanted = Wanted(ranges, request.failed, start, MAX_RETRIED, request.more)
        found = core.ledger.retry(batch, wanted)
        for part in found.within if found.failed else ():
            core.journal.take_back(batch, *part, core.wall())
        for part in found.excused:
            core.journal.excuse(batch, *part)
        if found.failed or found.dropped:
            self._begin_again(batch, is_known=start > 0)
        count = found.failed.count + found.dropped.count
        self._answer(peer, number, lambda: Retried(count, core.status(batch), found.further))

    def _begin_again(self, batch: int, *, is_known: bool) -> None:
        """The batch has not ended any more; that ``is_known`` if some of it was tried anew."""
        core, info = self._core, self._core.infos[batch]
        core.journal.remember(*core.highest)  # a reader's cursor must not be given once more
        if info.ended or not is_known:
            info.ended = 0.0
            self._clear_reason(batch)
            core.note(batch)
        core.touch(batch)

    def forget(self, peer: Peer, number: int, request: Forget) -> None:
        """Remove a batch that has ended; one that was removed already is."""
        core, batch = self._core, request.batch
        core.check_writable()
        if batch in core.infos or not core.was_given(batch):
            self._known(batch)
            if not core.ledger.batches[batch].ended:
                raise RequestError(
                    "not-ended",
                    f"batch {batch} has not ended: wait for it, or `farm cancel {batch}` first",
                )
            self._pruner.forget(batch)
        self._answer(peer, number, Done)

    def restore(self, peer: Peer, number: int, request: Restore) -> None:
        """Record outcomes of another server for a batch of which nothing has run yet."""
        core, batch = self._core, self._known(request.batch)
        state, info = core.ledger.batches[batch], core.infos[batch]
        if not state.paused or info.reason != IMPORTING:
            raise RequestError("bad-request", f"batch {batch} is not one that is being imported")
        for outcome in request.outcomes:
            _check_outcome(outcome, state.total)
        earlier = sum(attempts for outcome in request.outcomes for _, attempts in outcome.retried)
        if earlier > MAX_RESTORED:
            raise RequestError("bad-request", f"{earlier:,} attempts in one message are too many")
        self._restore(batch, request.outcomes)
        if request.last:
            info.reason = IMPORTED
            core.note(batch)
        core.touch(batch)
        self._answer(peer, number, Done)

    def _restore(self, batch: int, outcomes: list[Outcome]) -> None:
        """Record outcomes, all at once where they are of different tasks."""
        state, replay = self._core.ledger.batches[batch], Replay(self._core.ledger)
        apart = RangeSet((one.start, one.stop) for one in outcomes).count == sum(
            one.stop - one.start for one in outcomes
        )
        for group in [outcomes] if apart else [[one] for one in outcomes]:
            fresh = [(one, state.owes(one.start, one.stop)) for one in group]
            if any(len(parts) > 1 for _, parts in fresh):
                raise RequestError("bad-request", "some of an outcome's tasks have one already")
            done, failed = (
                RangeSet(
                    r for one, parts in fresh if (one.failure is not None) == bad for r in parts
                )
                for bad in (False, True)
            )
            replay.outcomes(batch, done, failed)
            for one, parts in fresh:
                self._journal(batch, one, parts, replay)

    def _journal(self, batch: int, outcome: Outcome, fresh: list[Range], replay: Replay) -> None:
        core, count = self._core, outcome.stop - outcome.start
        for first, last in fresh:
            elapsed = outcome.elapsed * (last - first) / count
            if outcome.failure is not None:
                core.add_failed(batch, first, outcome.node, elapsed, outcome.failure)
                replay.share(batch, outcome.node, 0, elapsed)
                continue
            origin = outcome.start - outcome.offset
            core.add_done(
                batch, (first, last), outcome.node, elapsed, origin, outcome.payload,
                outcome.seconds,
            )  # fmt: skip
            replay.share(batch, outcome.node, last - first, elapsed)
        known = {index for part in fresh for index in range(*part)} if outcome.retried else set()
        for index, attempts in outcome.retried:
            for _ in range(attempts - 1 if index in known else 0):
                self._restore_attempt(batch, index, outcome)

    def _restore_attempt(self, batch: int, index: int, outcome: Outcome) -> None:
        """An attempt before the one that counts; what happened to it is not known here."""
        core, earlier = self._core, Failure("error", "", "an attempt on another server", "")
        core.journal.add_attempt(batch, index, outcome.node, 0.0, core.wall(), 0.0, earlier)
        Replay(core.ledger).attempt(batch, index, "error", seconds=0.0, counts=True)

    def _check_whole(self, batch: int) -> None:
        """Before something of a batch is run.

        Raises:
            RequestError: it is half of an import; who has the rest has its outcomes.
        """
        info = self._core.infos[batch]
        if info.reason == IMPORTING:
            raise RequestError(
                "importing",
                f"batch {batch} is still being imported, or its import was broken off: "
                f"`farm import` it again, or `farm cancel {batch}` and forget it",
            )

    def _found(self, ref: str) -> int:
        """The id of a batch that is to be changed.

        Raises:
            RequestError: there is none, or it is the queue of plain clients, or the journal cannot
                be written.
        """
        core = self._core
        core.check_writable()
        batch = core.find(ref)
        if core.infos[batch].token == QUEUE_TOKEN:
            raise RequestError("task-queue", _queue_of(batch))
        return batch

    def _known(self, batch: int) -> int:
        """The same, of an id: a name that looks like one is none."""
        if batch not in self._core.infos:
            raise RequestError("unknown-batch", f"there is no batch {batch}")
        return self._found(str(batch))

    def _clear_reason(self, batch: int) -> None:
        """Forget why, unless the batch is still paused, or will end as cancelled."""
        state = self._core.ledger.batches[batch]
        if not state.paused and not state.cancelled:
            self._core.infos[batch].reason = ""

    def _changed(self, batch: int) -> None:
        self._core.note(batch)
        self._core.touch(batch)

    def _answer(self, peer: Peer, number: int, make: Callable[[], Message]) -> None:
        self._core.answer(lambda: peer.answer(number, make))


def _queue_of(batch: int) -> str:
    return (
        f"batch {batch} is the task queue of plain clients, which goes on as long as the server: "
        "`results.pop(id)` takes one of its results away"
    )


def _checked(ranges: list[Range], total: int) -> list[Range] | None:
    for start, stop in ranges:
        if not 0 <= start < stop <= total:
            raise RequestError(
                "bad-request", f"the batch has tasks 0 to {total - 1}, not {start} to {stop - 1}"
            )
    return ranges or None


def _check_outcome(outcome: Outcome, total: int) -> None:
    count = outcome.stop - outcome.start
    good = 0 <= outcome.start < outcome.stop <= total and 0 <= outcome.elapsed < 1e15
    if outcome.failure is not None:
        good = good and count == 1
    else:
        good = good and 0 <= outcome.offset <= outcome.start
        size = len(outcome.seconds)
        good = good and size >= 4 * (outcome.offset + count) and size % 4 == 0
    indices = {index for index, _ in outcome.retried}
    good = good and len(indices) == len(outcome.retried)
    good = good and all(0 < attempts <= MAX_ATTEMPTS for _, attempts in outcome.retried)
    if not good:
        where = f"[{outcome.start}, {outcome.stop})"
        raise RequestError("bad-request", f"the outcome of {where} cannot be one of this batch")
