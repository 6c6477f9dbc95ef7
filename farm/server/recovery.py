"""The start of a server: the ledger becomes what the journal says, leases included.

A lease need not be journalled: what has no outcome is pending, and a node that comes back presents
what it holds. Only tasks that must not run twice cannot be given to anybody else before that; the
nodes that may have begun them are remembered as ghosts, and given up like any silent node.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

import msgspec

from farm.server.journal import Journal
from farm.server.ledger import Ledger
from farm.server.reading import BatchRow
from farm.server.replay import Replay


@dataclass(frozen=True, slots=True)
class Ghost:
    """A node that held something when the server ended; known by its token if it comes back."""

    id: int
    token: str
    name: str


@dataclass(slots=True)
class Found:
    """What the ledger need not know of what was found."""

    rows: list[BatchRow]
    newest: dict[int, int]
    last_batch: int
    last_seq: int
    ghosts: list[Ghost] = field(default_factory=list)


def recover(journal: Journal, ledger: Ledger, *, now: float, wall: float) -> Found:
    """Put everything of a journal into an empty ledger.

    Args:
        journal: just opened.
        ledger: empty.
        now: by the clock that durations are measured with.
        wall: seconds since the epoch.

    Raises:
        JournalError: what is in it cannot be read.
    """
    try:
        rows = list(journal.batches())
        newest = {row.id: journal.newest(row.id) for row in rows}
        found = Found(rows, newest, *journal.highest())
        for row in found.rows:
            ledger.submit(row.id, row.total, row.options, open=row.open, paused=row.paused)
        replay = Replay(ledger)
        _outcomes(journal, ledger, replay, found.rows)
        for row in found.rows:
            if row.cancelled:
                replay.dropped(row.id, row.dropped)
        found.ghosts = _leases(journal, ledger, replay, now)
        _attempts(journal, ledger, replay, now, wall)  # those that wait for another are not leased
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise journal.refusal(error) from error
    return found


def _outcomes(journal: Journal, ledger: Ledger, replay: Replay, rows: list[BatchRow]) -> None:
    for row in rows:
        failed = journal.failed(row.id)
        if row.ended and not row.cancelled:
            replay.ended(row.id, failed)  # which are most: their outcomes need not be read
        else:
            replay.recorded(row.id, journal.recorded(row.id), failed)
    # Of a batch that was forgotten, the rows are being removed.
    for batch, node, tasks, seconds in journal.shares():
        if batch in ledger.batches:
            replay.share(batch, node, tasks, seconds)
    for batch, seconds in journal.failed_seconds():
        if batch in ledger.batches:
            replay.share(batch, "", 0, seconds)


def _attempts(journal: Journal, ledger: Ledger, replay: Replay, now: float, wall: float) -> None:
    waits: dict[tuple[int, int], tuple[float, str]] = {}
    for attempt in journal.attempts():
        if attempt.batch not in ledger.batches:
            continue
        replay.attempt(
            attempt.batch, attempt.index, attempt.kind, seconds=attempt.seconds,
            counts=attempt.counts, mark=attempt.mark,
        )  # fmt: skip
        if attempt.counts:
            # A clock that was set back must not make a task wait longer than it was to.
            left = min(attempt.delay, attempt.at + attempt.delay - wall)
            waits[attempt.batch, attempt.index] = (now + left, attempt.node)
    for (batch, index), (due, avoid) in waits.items():
        replay.delay(batch, index, due=due, avoid=avoid, now=now)


def _leases(journal: Journal, ledger: Ledger, replay: Replay, now: float) -> list[Ghost]:
    ghosts: dict[str, Ghost] = {}
    for batch, index, token, name in journal.begun():
        if batch not in ledger.batches:
            continue
        if token not in ghosts:
            ghosts[token] = Ghost(len(ghosts) + 1, token, name)
            ledger.join(ghosts[token].id, name, 1, now=now)
        replay.lease(ghosts[token].id, batch, [(index, index + 1)])
    return list(ghosts.values())
