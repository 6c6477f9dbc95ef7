"""The ledger and the journal together: nothing is answered before it is journalled.

Runs in the server's one loop, so that it needs no lock. What a turn of the loop changes is written
in one transaction at its end (a group commit); then the answers go out, leases are handed to the
nodes that want some, and whoever waits is woken.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from farm.batch.spec import Options
from farm.errors import RequestError
from farm.server.blocks import BlockCache
from farm.server.journal import BatchRow, Journal
from farm.server.ledger import Ledger
from farm.server.states import Batch, Range
from farm.server.waiting import Waiter, Waiters
from farm.wire.messages import Block, Failure, NodeShare, Outcome, Status

log = logging.getLogger("farm.server")

RETRY_SECONDS = 1.0
"""Between attempts to write a journal that cannot be written (a full disk, say)."""

COMPLAINT_SECONDS = 60.0
"""Between lines in the log about one and the same full disk."""

MAX_PENDING_RECORDS = 100_000
"""Records that may wait for a journal that cannot be written; then requests are refused."""


@dataclass(slots=True)
class Info:
    """What the ledger need not know of a batch; times are seconds since the epoch."""

    id: int
    name: str
    token: str
    digest: str
    submitted: float
    started: float = 0.0
    ended: float = 0.0
    seq: int = 0  # of the batch's newest outcome


@dataclass(slots=True)
class _Turn:
    """What the end of this turn of the loop has to do."""

    answers: deque[Callable[[], None]] = field(default_factory=deque)
    touched: set[int] = field(default_factory=set)


class Core:
    """The state of the server.

    Args:
        journal: what was acknowledged before; it is replayed.
        loop: the server's.
        hand_out: called after each commit, to lease what became pending.
        give_up: called with what makes it impossible to go on.
    """

    def __init__(
        self,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        hand_out: Callable[[], None],
        give_up: Callable[[Exception], None],
    ) -> None:
        self.journal = journal
        self.ledger = Ledger()
        self.loop = loop
        self.infos: dict[int, Info] = {}
        self.tokens: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._hand_out = hand_out
        self._give_up = give_up
        self._last = 0
        self._turn = _Turn()
        self._flush_planned = False
        self._stalled: str | None = None  # why the journal cannot be written
        self._complained = 0.0
        self.waiters = Waiters(loop, self.tell)
        self._blocks = BlockCache()
        self._seq = 0
        self._replay()

    # -- batches ------------------------------------------------------------------------------

    def submit(
        self, row: BatchRow, spec: bytes, files: dict[str, bytes], blocks: list[Block]
    ) -> None:
        """A new batch, journalled at the end of the turn."""
        self._know(row)
        if row.digest:
            self.journal.add_code(row.digest, files)
        self.journal.add_batch(row, spec)
        for block in blocks:
            self.journal.add_block(row.id, block)
        self.touch(row.id)

    def next_batch(self) -> int:
        """The id of the next batch."""
        return self._last + 1

    def grow(self, batch: int, blocks: list[Block], *, close: bool) -> None:
        """More tasks for an open batch, and maybe the last ones."""
        state = self.ledger.batches[batch]
        for block in blocks:
            if block.start == state.total and not state.open:
                raise RequestError("bad-request", f"batch {batch} is closed")
            if block.start == state.total:
                self.journal.add_block(batch, block)
                self._blocks.put(batch, block)  # it may be asked for before it is journalled
                self.ledger.extend(batch, block.stop)
            elif block.stop > state.total:
                raise RequestError(
                    "bad-request", f"the next block of batch {batch} begins at {state.total}"
                )
        if close:
            self.ledger.close(batch)
        self.journal.grow_batch(batch, state.total, open=state.open)
        self.touch(batch)

    def _know(self, row: BatchRow) -> Batch:
        self.infos[row.id] = Info(
            row.id, row.name, row.token, row.digest, row.submitted, row.started, row.ended
        )
        self._last = max(self._last, row.id)
        self.tokens[row.token] = row.id
        self._names[row.name] = row.id
        return self.ledger.submit(row.id, row.total, row.options, open=row.open)

    def find(self, ref: str) -> int:
        """The id of the batch that ``ref`` means: an id, a name (its latest batch), or ``last``.

        Raises:
            RequestError: there is none.
        """
        if ref == "last" and self.infos:
            return self._last
        found = int(ref) if ref.isdecimal() and len(ref) < 19 else self._names.get(ref, 0)
        if found not in self.infos:
            known = f"the latest is {self._last}" if self.infos else "there is none yet"
            raise RequestError("unknown-batch", f"there is no batch {ref!r}; {known}")
        return found

    def status(self, batch: int) -> Status:
        """How a batch stands."""
        state, info = self.ledger.batches[batch], self.infos[batch]
        return Status(
            batch=batch,
            name=info.name,
            # An end that is not journalled is none: its last results would be missing.
            state="running" if state.ended and self._stalled else state.state,
            total=state.total,
            pending=state.pending.count,
            running=state.running,
            done=state.done.count,
            failed=state.failed.count,
            cancelled=state.dropped,
            retried=state.retried,
            submitted=info.submitted,
            started=info.started,
            ended=info.ended,
            seconds=state.seconds,
            priority=state.options.priority,
            open=state.open,
            nodes=[NodeShare(name, s.done, s.seconds) for name, s in state.shares.items()],
            now=time.time(),
        )

    def begin(self, batch: int) -> None:
        """The first lease of a batch was made."""
        info = self.infos[batch]
        if not info.started:
            info.started = time.time()
            self._note_times(batch)

    def _note_times(self, batch: int) -> None:
        info, state = self.infos[batch], self.ledger.batches[batch]
        self.journal.set_times(batch, info.started, info.ended, cancelled=state.cancelled)

    def leave(self, node: int) -> None:
        """A node is gone; what it held is pending again."""
        known = self.ledger.nodes.get(node)
        held = list(known.batches) if known else []
        self.ledger.leave(node)
        for batch in held:
            self.touch(batch)

    def give_back(self, node: int, batch: int, ranges: list[Range]) -> None:
        """A node could not run these."""
        self.ledger.give_back(node, batch, ranges)
        if batch in self.infos:
            self.touch(batch)

    # -- outcomes -----------------------------------------------------------------------------

    def record_done(
        self, batch: int, node: int, part: tuple[int, int], payload: bytes, seconds: bytes,
        elapsed: float,
    ) -> bool:  # fmt: skip
        """Tasks are done; False if all of them had an outcome already."""
        start, stop = part
        fresh = self.ledger.complete(node, batch, start, stop, seconds=elapsed)
        name = self.ledger.nodes[node].name if node in self.ledger.nodes else ""
        for first, last in fresh:
            seq = self._next_seq(batch)
            share = elapsed * (last - first) / (stop - start)
            self.journal.add_done(seq, batch, (first, last), name, share, start, payload, seconds)
        if fresh:
            self.touch(batch)
        return bool(fresh)

    def record_failed(
        self, batch: int, node: int, index: int, seconds: float, failure: Failure
    ) -> None:
        """An attempt failed: the task is tried again, or has failed for good."""
        verdict = self.ledger.fail(node, batch, index, failure.kind, seconds=seconds)
        name = self.ledger.nodes[node].name if node in self.ledger.nodes else ""
        match verdict.value:
            case "retry":
                self.journal.add_attempt(batch, index, name, seconds, time.time(), failure)
            case "final":
                seq = self._next_seq(batch)
                self.journal.add_failed(seq, batch, index, name, seconds, failure)
            case _:
                log.info("batch %d: a late failure of task %d was dropped", batch, index)
        self.touch(batch)

    def _next_seq(self, batch: int) -> int:
        self._seq += 1
        self.infos[batch].seq = self._seq
        return self._seq

    def count_attempts(self, batch: int, outcomes: list[Outcome]) -> list[Outcome]:
        """The outcomes, with the attempts of those tasks that took more than one."""
        attempts = self.ledger.batches[batch].attempts
        for outcome in outcomes if attempts else ():
            success = 0 if outcome.failure else 1
            counts = ((i, attempts[i] + success) for i in _within(attempts, outcome))
            outcome.retried.extend((index, count) for index, count in counts if count > 1)
        return outcomes

    # -- blocks -------------------------------------------------------------------------------

    def block(self, batch: int, index: int) -> Block | None:
        """The block that holds ``index``, kept for a while because other nodes will ask."""
        found = self._blocks.get(batch, index) or self.journal.block(batch, index)
        if found is not None:
            self._blocks.put(batch, found)
        return found

    # -- the end of a turn --------------------------------------------------------------------

    def touch(self, batch: int) -> None:
        """Something about the batch has changed in this turn."""
        state, info = self.ledger.batches[batch], self.infos[batch]
        if state.ended and not info.ended:
            info.ended = time.time()
            self._note_times(batch)
        self._turn.touched.add(batch)
        self.plan_flush()

    def answer(self, send: Callable[[], None]) -> None:
        """Send an answer, once what came before it is journalled."""
        self._after_commit(send)

    def tell(self, send: Callable[[], None]) -> None:
        """Send an answer that acknowledges nothing: at once where the journal cannot be written."""
        if self._stalled is None:
            self._after_commit(send)
        else:
            self._guarded(send)

    def check_writable(self) -> None:
        """Before what somebody wants acknowledged who can come again later.

        Raises:
            RequestError: the journal cannot be written at the moment.
        """
        if self._stalled is not None:
            raise RequestError(
                "journal",
                f"the server cannot write its journal ({self._stalled}); nothing was taken. "
                "Make room on its disk, and try again",
            )

    def check_room(self) -> None:
        """Before what can only be kept here until it is journalled.

        Raises:
            RequestError: the journal has not been writable for so long that no more is taken.
        """
        if self.journal.pending > MAX_PENDING_RECORDS:
            raise RequestError("journal", "the journal cannot be written; see the server's log")

    def _after_commit(self, send: Callable[[], None]) -> None:
        self._turn.answers.append(send)
        self.plan_flush()

    def plan_flush(self) -> None:
        """Do what is to be done at the end of this turn of the loop."""
        if not self._flush_planned:
            self._flush_planned = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        try:
            self.journal.commit()
        except sqlite3.OperationalError as error:
            self._stall(error)
            return
        except Exception as error:
            # Not a matter of time: the file is damaged, or a record cannot be written at all.
            log.exception("the journal %s cannot be used any more", self.journal.path)
            self._give_up(error)
            return
        if self._stalled is not None:
            log.warning("the journal %s can be written again", self.journal.path)
            self._stalled = None
        self._flush_planned = False
        turn, self._turn = self._turn, _Turn()
        for send in turn.answers:
            self._guarded(send)
        self._guarded(self._hand_out)
        for batch in turn.touched:
            self._guarded(lambda batch=batch: self.waiters.wake(batch))  # type: ignore[misc]

    def _stall(self, error: sqlite3.OperationalError) -> None:
        """The journal cannot be written for a while: hold back what acknowledges, and try again."""
        now = time.monotonic()
        if self._stalled is None or now - self._complained > COMPLAINT_SECONDS:
            self._complained = now
            log.error(
                "the journal %s cannot be written (%s): nothing is acknowledged until it can; "
                "trying again every %.0f s", self.journal.path, error, RETRY_SECONDS,
            )  # fmt: skip
        self._stalled = str(error)
        self.loop.call_later(RETRY_SECONDS, self._flush)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            # One answer that cannot be given must not cost all the others of the turn.
            log.exception("a step at the end of a turn failed")

    def wait(
        self, batch: int, seconds: float, ready: Callable[[], bool], answer: Callable[[], None]
    ) -> Waiter | None:
        """Call ``answer`` when ``ready`` is true after a commit, or after ``seconds``.

        None if there is nothing to wait for (NaN is no time to wait).
        """
        if not seconds > 0 or (not self.journal.pending and ready()):
            self.tell(answer)
            return None
        waiter = Waiter(batch, ready, answer)
        self.waiters.add(waiter, seconds)
        self._turn.touched.add(batch)
        self.plan_flush()
        return waiter

    # -- replay -------------------------------------------------------------------------------

    def _replay(self) -> None:
        for row in self.journal.batches():
            state = self._know(row)
            if row.cancelled:
                self.ledger.cancel(state.id)
        for seq, batch, start, stop, failed, node, elapsed in self.journal.recorded():
            self.infos[batch].seq = self._seq = seq
            self.ledger.restore(batch, start, stop, failed=failed, node=node, seconds=elapsed)
        for batch, index, kind, elapsed in self.journal.attempts():
            self.ledger.restore_attempt(batch, index, kind, seconds=elapsed)


def _within(attempts: dict[int, int], outcome: Outcome) -> Iterable[int]:
    """The indices of an outcome that had failed attempts, looked for on the shorter side."""
    if outcome.stop - outcome.start < len(attempts):
        return (index for index in range(outcome.start, outcome.stop) if index in attempts)
    return (index for index in attempts if outcome.start <= index < outcome.stop)


def plain_row(batch: int, token: str, name: str, now: float) -> BatchRow:
    """The row of an open batch without tasks."""
    return BatchRow(
        batch, token, name, 0, Options(), "", open=True, cancelled=False, submitted=now,
        started=0.0, ended=0.0,
    )  # fmt: skip
