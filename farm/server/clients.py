"""What clients ask: submit, look, wait, read."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable

import msgspec

from farm.batch import shipment
from farm.batch import spec as specs
from farm.errors import RequestError
from farm.limits import DEFAULTS
from farm.server.around import QUEUE_TOKEN
from farm.server.core import Core
from farm.server.peers import Peer
from farm.server.reading import BatchRow
from farm.server.states import Batch
from farm.server.waiting import Waiter
from farm.wire.controls import IMPORTING
from farm.wire.messages import (
    Append,
    Batches,
    Block,
    Done,
    GetOutcomes,
    GetResults,
    GetStatus,
    ListBatches,
    Message,
    Outcome,
    Outcomes,
    Status,
    Submit,
    Submitted,
)

MAX_WAIT = 60.0
"""Seconds a request may be held back; the client asks again."""

PAGE_ENTRIES = 200
"""Batches in one list, and shares of nodes in them: some 20 microseconds each."""

MAX_TASKS = 2**63 - 1


class Clients:
    """The requests of clients; each method answers through the peer.

    Args:
        core: the server's state.
        max_batch: bytes that a batch's arguments, program and files may have together.
    """

    def __init__(self, core: Core, max_batch: int = DEFAULTS.max_batch) -> None:
        self._core = core
        self._max_batch = max_batch

    def submit(self, peer: Peer, number: int, request: Submit) -> None:
        """Journal a new batch, unless this submission is known."""
        core = self._core
        batch = core.tokens.get(request.token)
        known = batch is not None
        if batch is None:  # what was taken once is taken, whether it can be written yet or not
            core.check_writable()
            _check_submission(request)
            size = len(request.spec) + sum(map(len, request.files.values())) + _size(request.blocks)
            self._check_size(size)
            batch = core.next_batch()
            row = BatchRow(
                batch, request.token, request.name, request.total, request.options,
                request.digest, core.wall(), open=request.open, paused=request.paused,
                reason=IMPORTING if request.paused else "",
            )  # fmt: skip
            core.submit(row, request.spec, request.files, request.blocks)
            core.infos[batch].size = size
        self._answer(peer, number, Submitted(batch, known))

    def append(self, peer: Peer, number: int, request: Append) -> None:
        """More blocks for an open batch."""
        core = self._core
        state = core.ledger.batches.get(request.batch)
        if state is None:
            raise RequestError("unknown-batch", f"there is no batch {request.batch}")
        if core.infos[request.batch].token == QUEUE_TOKEN:
            raise RequestError("bad-request", "calls are put into the task queue one by one")
        if state.cancelled:
            why = core.infos[request.batch].reason
            text = f"batch {request.batch} was cancelled" + (f": {why}" if why else "")
            raise RequestError("cancelled", text)
        _check_blocks(request.blocks)
        # One that is sent again, because its answer was lost, adds nothing: it is answered when
        # what it added the first time is written.
        new = [block for block in request.blocks if block.stop > state.total]
        if new or (request.close and state.open):
            core.check_writable()
            self._grow(request, new)
        # More may follow before this is heard; only the last one is waited for.
        acknowledge = peer.reply if request.close else peer.acknowledge
        core.answer(lambda: acknowledge(number, Done()))

    def _grow(self, request: Append, new: list[Block]) -> None:
        """Take the blocks that are new, as far as the batch may have them."""
        size = self._size_of(request.batch) + _size(new)
        self._check_size(size)
        self._core.grow(request.batch, request.blocks, close=request.close)
        self._core.infos[request.batch].size = size

    def _size_of(self, batch: int) -> int:
        """Bytes of a batch that is open; of one from before a restart, those in the journal."""
        known = self._core.infos[batch].size
        return self._core.journal.size(batch) if known is None else known

    def _check_size(self, size: int) -> None:
        if size > self._max_batch:
            raise RequestError(
                "too-large",
                f"the batch would have {size:,} bytes of arguments and code; this server takes at "
                f"most {self._max_batch:,} (--max-batch)",
            )

    def status(self, peer: Peer, number: int, request: GetStatus) -> None:
        """How a batch stands, now or when it has ended."""
        core = self._core
        batch = core.find(request.ref)
        state = core.ledger.batches[batch]
        seconds = min(request.wait, MAX_WAIT)
        self._when(peer, number, batch, seconds, lambda: state.ended, lambda: core.status(batch))

    def batches(self, peer: Peer, number: int, request: ListBatches) -> None:
        """A page of the latest batches."""
        self._tell(peer, number, lambda: self._listed(request.limit, request.before))

    def _listed(self, limit: int, before: int) -> Batches:
        core = self._core
        known = list(core.infos)  # in order of their ids
        end = bisect_left(known, before) if before > 0 else len(known)
        listed: list[Status] = []
        entries = 0
        for batch in reversed(known[max(0, end - max(0, limit)) : end]):
            listed.append(core.status(batch))
            entries += 1 + len(listed[-1].nodes)
            if entries >= PAGE_ENTRIES:
                break
        return Batches(listed, len(known))

    def outcomes(self, peer: Peer, number: int, request: GetOutcomes) -> None:
        """A page of outcomes in the order of their recording."""
        core, batch = self._core, core_batch(self._core, request.batch)
        state, cursor = core.ledger.batches[batch], request.cursor

        def page() -> Outcomes:
            nonlocal cursor
            found, cursor = core.journal.outcomes_after(batch, cursor)
            ended = state.ended and not found and not core.journal.pending
            if request.follow and not ended:
                wait(math.inf)
            return Outcomes(_with_attempts(state, found), cursor, ended, state.state)

        def ready() -> bool:
            return state.ended or core.infos[batch].seq > cursor

        def wait(seconds: float) -> None:
            self._when(peer, number, batch, seconds, ready, page)

        wait(math.inf if request.follow else min(request.wait, MAX_WAIT))

    def results(self, peer: Peer, number: int, request: GetResults) -> None:
        """A page of outcomes in index order."""
        if request.gaps:
            self._recorded(peer, number, request)
            return
        core, batch = self._core, core_batch(self._core, request.batch)
        state = core.ledger.batches[batch]

        def page() -> Outcomes:
            found = core.journal.outcomes_from(batch, request.start)
            cursor = found[-1].stop if found else request.start
            ended = (
                state.ended and not core.journal.pending and (not found or cursor >= state.total)
            )
            return Outcomes(_with_attempts(state, found), cursor, ended, state.state)

        def ready() -> bool:
            return state.ended or request.start in state.done or request.start in state.failed

        self._when(peer, number, batch, min(request.wait, MAX_WAIT), ready, page)

    def _recorded(self, peer: Peer, number: int, request: GetResults) -> None:
        """A page of what is recorded by now, in index order."""
        core, batch = self._core, core_batch(self._core, request.batch)
        state = core.ledger.batches[batch]

        def page() -> Outcomes:
            found = core.journal.recorded_from(batch, request.start, failed=request.failed)
            cursor = found[-1].stop if found else request.start
            return Outcomes(_with_attempts(state, found), cursor, not found, state.state)

        self._tell(peer, number, page)

    # -- answering ----------------------------------------------------------------------------

    def _answer(self, peer: Peer, number: int, answer: Message) -> None:
        self._core.answer(lambda: peer.reply(number, answer))

    def _tell(self, peer: Peer, number: int, make: Callable[[], Message]) -> None:
        # Made when it is sent: of what was asked in one turn only one is in memory at a time.
        self._core.tell(lambda: peer.answer(number, make))

    def _when(
        self,
        peer: Peer,
        number: int,
        batch: int,
        seconds: float,
        ready: Callable[[], bool],
        make: Callable[[], Message],
    ) -> None:
        waiter: Waiter | None = None  # until it is known: the answer may come before `wait` is over

        def answer() -> None:
            peer.waiters.discard(waiter)
            peer.answer(number, make)

        others = len(peer.waiters)
        waiter = self._core.wait(batch, seconds, ready, answer, peer.who, others)
        if waiter is not None:
            peer.waiters.add(waiter)


def core_batch(core: Core, batch: int) -> int:
    """The id, if there is such a batch.

    Raises:
        RequestError: there is none.
    """
    if batch not in core.infos:
        raise RequestError("unknown-batch", f"there is no batch {batch}")
    return batch


def _with_attempts(state: Batch, outcomes: list[Outcome]) -> list[Outcome]:
    """The outcomes, with the attempts of those tasks that took more than one."""
    attempts = state.attempts
    if not attempts:
        return outcomes
    return [_with_retried(outcome, attempts) for outcome in outcomes]


def _with_retried(outcome: Outcome, attempts: dict[int, int]) -> Outcome:
    success = 0 if outcome.failure else 1
    counts = ((i, attempts[i] + success) for i in _within(attempts, outcome))
    retried = [(index, count) for index, count in counts if count > 1]
    # Others may be given the same one.
    return msgspec.structs.replace(outcome, retried=retried) if retried else outcome


def _within(attempts: dict[int, int], outcome: Outcome) -> Iterable[int]:
    """The indices of an outcome that had failed attempts, looked for on the shorter side."""
    if outcome.stop - outcome.start < len(attempts):
        return (index for index in range(outcome.start, outcome.stop) if index in attempts)
    return (index for index in attempts if outcome.start <= index < outcome.stop)


def _check_submission(request: Submit) -> None:
    if not 0 <= request.total <= MAX_TASKS:
        raise RequestError("bad-request", f"{request.total} is not a number of tasks")
    if not request.token or not request.name or len(request.name) > 200:
        raise RequestError("bad-request", "a submission has a token and a name of 1 to 200 letters")
    if request.token == QUEUE_TOKEN:
        raise RequestError("bad-request", "that token is the task queue's own")
    try:
        shipment.check(request.files)
        specs.check(request.spec, request.files)
    except msgspec.MsgspecError as error:
        raise RequestError("bad-request", f"that is not a spec: {error}") from error
    except ValueError as error:
        raise RequestError("bad-request", str(error)) from error
    if shipment.digest(request.files) != request.digest:
        raise RequestError("bad-request", "the files are not those of their digest")
    _check_blocks(request.blocks)
    if (request.blocks or request.open) and request.total != (
        request.blocks[-1].stop if request.blocks else 0
    ):
        raise RequestError("bad-request", "the blocks do not make up the tasks")
    if request.blocks and request.blocks[0].start != 0:
        raise RequestError("bad-request", "the first block begins at 0")


def _size(blocks: list[Block]) -> int:
    return sum(len(block.payload) for block in blocks)


def _check_blocks(blocks: list[Block]) -> None:
    for block in blocks:
        if not 0 <= block.start < block.stop <= MAX_TASKS:
            raise RequestError("bad-request", f"[{block.start}, {block.stop}) is not a block")
    if any(block.stop != following.start for block, following in itertools.pairwise(blocks)):
        raise RequestError("bad-request", "blocks follow one another without a gap")
