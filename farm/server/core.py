"""The state of the server: the ledger, and beside it what is journalled of it.

Runs in the server's one loop, so that it needs no lock; nothing is answered before it is journalled
(see `farm.server.turns`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator

from farm.batch.ranges import RangeSet
from farm.batch.suggest import clipped
from farm.errors import RequestError
from farm.server.around import Hooks, Info
from farm.server.attempts import judged, mark_of
from farm.server.blocks import BlockCache
from farm.server.bonds import Bonds
from farm.server.claims import Claims, answered_for, most_of
from farm.server.journal import Journal
from farm.server.ledger import Ledger
from farm.server.reading import BatchRow
from farm.server.recovery import Ghost, recover
from farm.server.states import Grant, Range, Verdict
from farm.server.turns import Turns
from farm.wire.leases import Failed, Unheard
from farm.wire.messages import Block, Failure, NodeShare, Status

log = logging.getLogger("farm.server")


class Core(Turns):
    """The state of the server.

    Args:
        journal: what was acknowledged before; it is replayed.
        loop: the server's; its ``time`` is the only clock that durations are measured by.
        hooks: see there.
        wall: seconds since the epoch, for people.
        chance: gives a number from 0 to 1, for the jitter of retries.

    Raises:
        JournalError: what is in the journal cannot be read.
    """

    def __init__(
        self,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        hooks: Hooks,
        *,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(journal, loop, self._lease_out, hooks.give_up)
        self.ledger = Ledger(chance)
        self._bonds = Bonds(journal, self.ledger)
        self.wall = wall
        self.infos: dict[int, Info] = {}
        self.tokens: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._hooks = hooks
        self._blocks = BlockCache()
        self._alarm: asyncio.TimerHandle | None = None
        self._last, self._seq = 0, 0
        self.ghosts: list[Ghost] = []
        self._recover()

    def _recover(self) -> None:
        """Become what the journal says."""
        found = recover(self.journal, self.ledger, now=self.loop.time(), wall=self.wall())
        for row in found.rows:
            self._know(row)
            self.infos[row.id].seq = found.newest[row.id]
        self._last, self._seq = found.last_batch, found.last_seq
        self.ghosts = found.ghosts

    # -- batches ------------------------------------------------------------------------------

    def submit(
        self, row: BatchRow, spec: bytes, files: dict[str, bytes], blocks: list[Block]
    ) -> None:
        """A new batch, journalled at the end of the turn."""
        self._know(row)
        self.ledger.submit(row.id, row.total, row.options, open=row.open, paused=row.paused)
        if row.digest:
            self.journal.add_code(row.digest, files)
        self.journal.add_batch(row, spec)
        for block in blocks:
            self.journal.add_block(row.id, block)
        self.touch(row.id)

    def next_batch(self) -> int:
        """The id of the next batch."""
        return self._last + 1

    def _know(self, row: BatchRow) -> None:
        self.infos[row.id] = Info(
            row.id, row.name, row.token, row.digest, row.submitted, row.started, row.ended,
            row.reason,
        )  # fmt: skip
        self._last = max(self._last, row.id)
        self.tokens[row.token] = row.id
        self._names[row.name] = row.id

    def grow(self, batch: int, blocks: list[Block], *, close: bool) -> None:
        """More tasks for an open batch, and maybe the last ones."""
        state = self.ledger.batches[batch]
        for block in blocks:
            if block.stop > state.total and not state.open:
                reason = self.infos[batch].reason or "closed"
                raise RequestError("closed", f"batch {batch} takes no more: it was {reason}")
            if block.start == state.total:
                self.journal.add_block(batch, block)
                self._blocks.put(batch, block)  # it will be asked for soon
                self.ledger.extend(batch, block.stop)
            elif block.stop > state.total:
                raise RequestError(
                    "early", f"the next block of batch {batch} begins at {state.total}"
                )
        if close:
            self.ledger.close(batch)
            self.journal.close_batch(batch, state.total)
        self._end_if_broken(batch)
        self.touch(batch)

    def find(self, ref: str) -> int:
        """The id of the batch that ``ref`` means: an id, a name (its latest batch), or ``last``.

        Raises:
            RequestError: there is none.
        """
        newest = next(reversed(self.infos), 0)
        if ref == "last" and newest:
            return newest
        found = int(ref) if ref.isdecimal() and len(ref) < 19 else self._names.get(ref, 0)
        if found not in self.infos:
            known = f"the latest is {newest}" if newest else "there is none yet"
            if 0 < found <= self._last:
                known = "it was forgotten"
            raise RequestError("unknown-batch", f"there is no batch {clipped(ref)!r}; {known}")
        return found

    @property
    def highest(self) -> tuple[int, int]:
        """The highest batch id and place of an outcome that were ever given."""
        return self._last, self._seq

    def was_given(self, batch: int) -> bool:
        """Whether there is, or once was, a batch of this id."""
        return 0 < batch <= self._last

    def status(self, batch: int) -> Status:
        """How a batch stands."""
        batch = self.find(str(batch))  # it may have been forgotten since this was asked
        state, info = self.ledger.batches[batch], self.infos[batch]
        return Status(
            batch=batch,
            name=info.name,
            # An end that is not journalled is none: its last results would be missing.
            state="running" if state.ended and self.is_unwritten(batch) else state.state,
            total=state.total,
            pending=state.waiting,
            running=state.running,
            done=state.done.count,
            failed=state.failed.count,
            cancelled=state.dropped.count,
            retried=state.retried,
            submitted=info.submitted,
            started=info.started,
            ended=info.ended,
            seconds=state.seconds,
            priority=state.options.priority,
            open=state.open,
            nodes=[NodeShare(name, s.done, s.seconds) for name, s in state.shares.items()],
            now=self.wall(),
            paused=state.paused,
            reason=info.reason if state.paused or state.ended else "",
            repeated=state.repeated,
            served=any(node.able for node in self.ledger.nodes.values()),
            stalled=self.stall.told(self.loop.time(), self.wall()),
        )

    def note(self, batch: int) -> None:
        """Journal how a batch stands: when it began and ended, and what people did to it."""
        info, state = self.infos[batch], self.ledger.batches[batch]
        # While all that has no outcome is dropped, that is said in one word.
        dropped = None if state.ended else list(state.dropped)
        self.journal.set_state(
            BatchRow(
                batch, info.token, info.name, state.total, state.options, info.digest,
                info.submitted, info.started, info.ended, state.open, state.cancelled,
                state.paused, info.reason, dropped,
            )
        )  # fmt: skip

    def cancel(self, batch: int, reason: str = "") -> None:
        """Give up what has no outcome of a batch; the nodes that run some of it are told."""
        self._hooks.drop(batch)
        if self.ledger.cancel(batch):
            self._bonds.untie(batch, [(0, self.ledger.batches[batch].total)])
            self.infos[batch].reason = reason
            self.note(batch)
            self.touch(batch)

    def _end_if_broken(self, batch: int) -> None:
        state = self.ledger.batches[batch]
        if state.is_broken and not state.ended:
            limit = state.options.max_failures
            allowed = (
                f"{limit:,}" if limit is not None
                else f"{100 * (state.options.max_failure_share or 0):g}%"
            )  # fmt: skip
            reason = f"{state.failed.count:,} failed, and max_failures is {allowed}"
            log.warning("batch %d is stopped: %s", batch, reason)
            self.cancel(batch, reason)

    def forget(self, batch: int) -> None:
        """A batch that has ended is not there any more; its rows remain to be removed."""
        info = self.infos.pop(batch)
        self.ledger.forget(batch)
        del self.tokens[info.token]
        if self._names[info.name] == batch:
            del self._names[info.name]
            older = [known.id for known in self.infos.values() if known.name == info.name]
            if older:
                self._names[info.name] = max(older)
        self._blocks.drop(batch)
        self.journal.forget(batch)
        self.journal.remember(*self.highest)
        self.changed(batch)

    # -- leases -------------------------------------------------------------------------------

    def lease(
        self, node: int, token: str, free: int, idle: int, ahead: float = 0.0
    ) -> Grant | None:
        """Work for a node (see `Ledger.lease`); a lease that binds is journalled first.

        The lease of such a batch is to be sent by `answer`.
        """
        grant = self.ledger.lease(node, free, idle=idle, now=self.loop.time(), ahead=ahead)
        if grant is None:
            return None
        self.begin(grant.batch)
        self._bonds.tie(node, token, grant.batch, grant.ranges)
        return grant

    def begin(self, batch: int) -> None:
        """A lease of a batch was made; the first one is noted."""
        info = self.infos[batch]
        if not info.started:
            info.started = self.wall()
            self.note(batch)
            self.plan_flush()

    def _lease_out(self) -> None:
        """After a commit: lease, and be back when there will be more although nothing happens."""
        self.ledger.wake(self.loop.time())
        self._hooks.hand_out()
        due = self.ledger.next_time
        if self._alarm is not None and (due is None or due < self._alarm.when()):
            self._alarm.cancel()
            self._alarm = None
        if due is not None and self._alarm is None:
            self._alarm = self.loop.call_at(due, self._awake)

    def _awake(self) -> None:
        self._alarm = None
        self.plan_flush()

    def present(
        self, node: int, token: str, held: Claims, failed: list[Unheard]
    ) -> Iterator[tuple[int, list[Range]]]:
        """A node came back (see `Ledger.present`): what it is to drop."""
        before = self._bonds.of(node)
        claimed = answered_for(self.ledger.batches, held, token, failed)
        yield from self.ledger.present(node, claimed)
        after = self._bonds.of(node)
        for batch in before.keys() | after.keys():
            had, has = before.get(batch, RangeSet()), after.get(batch, RangeSet())
            self._bonds.untie(batch, had - has)
            self._bonds.tie(node, token, batch, has - had)

    def leave(self, node: int) -> None:
        """A node is gone; what it held is pending again, or lost if it must not run twice."""
        known = self.ledger.nodes.get(node)
        if known is None:
            return
        held = list(known.batches)
        for batch, bound in self._bonds.of(node).items():
            self._bonds.untie(batch, bound)
        for batch, ranges in self.ledger.leave(node):
            text = (
                f"the node {known.name!r} was lost while it had this task, and the batch says "
                "`rerun: false`: it may have run, and is not run again"
            )
            failure = Failure("lost", "", text, "")
            for index in (index for part in ranges for index in range(*part)):
                self._add_failed(batch, index, known.name, 0.0, failure)  # untied above
            self._end_if_broken(batch)
        for batch in held:
            self.touch(batch)
        self.plan_flush()  # what was kept for it may go to others, though it held nothing

    def give_back(self, node: int, batch: int, ranges: list[Range]) -> None:
        """A node has not begun these."""
        returned = self.ledger.give_back(node, batch, ranges)
        if batch in self.infos:
            self._bonds.untie(batch, returned)
            self.touch(batch)

    # -- outcomes -----------------------------------------------------------------------------

    def record_done(
        self, batch: int, node: int, part: tuple[int, int], payload: bytes, seconds: bytes,
        elapsed: float,
    ) -> bool:  # fmt: skip
        """Tasks are done; False if all of them had an outcome already."""
        start, stop = part
        end = most_of(self.ledger.batches[batch], part, len(payload) + len(seconds))
        if end < stop:
            self.give_back(node, batch, [(end, stop)])
        spent = elapsed * (end - start) / (stop - start)
        fresh = self.ledger.complete(node, batch, start, end, seconds=spent)
        name = self.ledger.nodes[node].name if node in self.ledger.nodes else ""
        for first, last in fresh:
            share = elapsed * (last - first) / (stop - start)
            self.add_done(batch, (first, last), name, share, start, payload, seconds)
        if fresh:
            self.touch(batch)
        return bool(fresh)

    def add_done(
        self, batch: int, part: Range, node: str, elapsed: float, first: int, payload: bytes,
        seconds: bytes,
    ) -> None:  # fmt: skip
        """Journal what the ledger says is done; ``payload`` begins at index ``first``."""
        seq = self._next_seq(batch)
        self.journal.add_done(seq, batch, part, node, elapsed, first, payload, seconds)
        self._bonds.untie(batch, [part])

    def record_failed(self, node: int, token: str, failed: Failed, seconds: float) -> Verdict:
        """An attempt failed: the task is tried again, or has failed for good."""
        batch, index, mark = failed.batch, failed.index, mark_of(token, failed.mark)
        failure = judged(self.ledger.batches[batch], failed.failure)
        verdict, delay = self.ledger.fail(
            node, batch, index, failure.kind, seconds=seconds, now=self.loop.time(), mark=mark
        )
        name = self.ledger.nodes[node].name if node in self.ledger.nodes else ""
        match verdict:
            case Verdict.RETRY:
                self.journal.add_attempt(
                    batch, index, name, seconds, self.wall(), delay, failure, mark
                )
                self._bonds.untie(batch, [(index, index + 1)])
            case Verdict.FINAL:
                self.add_failed(batch, index, name, seconds, failure)
                self._end_if_broken(batch)
        self.touch(batch)
        return verdict

    def add_failed(
        self, batch: int, index: int, node: str, seconds: float, failure: Failure
    ) -> None:
        """Journal what the ledger says has failed."""
        self._add_failed(batch, index, node, seconds, failure)
        self._bonds.untie(batch, [(index, index + 1)])

    def _add_failed(
        self, batch: int, index: int, node: str, seconds: float, failure: Failure
    ) -> None:
        self.journal.add_failed(self._next_seq(batch), batch, index, node, seconds, failure)

    def _next_seq(self, batch: int) -> int:
        self._seq += 1
        self.infos[batch].seq = self._seq
        return self._seq

    # -- blocks, and the end of a turn ----------------------------------------------------------

    def block(self, batch: int, index: int) -> Block | None:
        """The block that holds ``index``, kept for a while because other nodes will ask."""
        found = self._blocks.get(batch, index) or self.journal.block(batch, index)
        if found is not None:
            self._blocks.put(batch, found)
        return found

    def touch(self, batch: int) -> None:
        """Something about the batch has changed in this turn."""
        state, info = self.ledger.batches[batch], self.infos[batch]
        if state.ended and not info.ended:
            info.ended = self.wall()
            self.note(batch)
        self.changed(batch)
