"""What must hold in the end. Each check gives what is wrong as sentences; none: all is well."""

from __future__ import annotations

import array
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from chaos import tasks
from chaos.batches import Counted, Row, row
from farm.client.session import Session

JOURNAL = "journal.sqlite"
SECONDS = 60.0
"""A client's patience when everything has ended."""


def executions(counted: Counted) -> list[int]:
    """How often each task was begun, by its own marks."""
    found = array.array("q")
    for path in counted.marks.iterdir():
        found.frombytes(path.read_bytes())
    if sys.byteorder == "big":
        found.byteswap()
    times = [0] * counted.total
    for index in found:
        times[index] += 1
    return times


def of_executions(name: str, times: Sequence[int], *, once: bool) -> Iterator[str]:
    """That every task ran, and where nothing gave cause to, none again.

    Args:
        name: the batch's.
        times: how often each task was begun.
        once: whether nothing gave cause to run a task again.
    """
    never = [index for index, count in enumerate(times) if not count]
    if never:
        yield f"{name}: {len(never)} tasks never ran: {_some(never)}"
    again = [index for index, count in enumerate(times) if count > 1]
    if once and again:
        yield f"{name}: {len(again)} tasks ran again without a cause: {_some(again)}"


def through_client(session: Session, counted: Counted) -> Iterator[str]:
    """What a client that comes in the end reads, and that it agrees with the one that watched."""
    name, total = counted.name, counted.total
    batch = session.batch(counted.id)
    if batch.name != name:
        yield f"{name}: batch {counted.id} was acknowledged, and is {batch.name!r} now"
        return
    status = batch.status()
    if (status.state, status.done, status.failed) != ("done", total, 0):
        yield f"{name}: {status.state}, {status.done} of {total} done, {status.failed} failed"
        return
    rows = [row(outcome) for outcome in batch.outcomes(SECONDS)]
    yield from of_indices(name, [one[0] for one in rows], total)
    yield from of_watching(name, counted.seen, rows)
    expected = [tasks.value(index) for index in range(total)]
    wrong = [one[0] for one in rows if one[2] != expected[one[0]]]
    if wrong:
        yield f"{name}: {len(wrong)} results are wrong: {_some(wrong)}"
    values = list(batch.results(SECONDS))
    if sum(values) != sum(expected) or values != expected:
        yield f"{name}: the results in index order are wrong; their sum is {sum(values)}"


def of_indices(name: str, indices: Sequence[int], total: int) -> Iterator[str]:
    """That a client is shown every index once."""
    times = [0] * total
    for index in indices:
        times[index] += 1
    if lost := [index for index, count in enumerate(times) if not count]:
        yield f"{name}: {len(lost)} tasks have no outcome for a client: {_some(lost)}"
    if twice := [index for index, count in enumerate(times) if count > 1]:
        yield f"{name}: {len(twice)} tasks have more than one outcome: {_some(twice)}"


def of_watching(name: str, seen: Sequence[Row], rows: Sequence[Row]) -> Iterator[str]:
    """That what was seen stays: outcomes are where they were, and as they were."""
    for place, before in enumerate(seen):
        now = rows[place] if place < len(rows) else None
        if before != now:
            yield f"{name}: outcome {place} was {before} when it was seen, and is {now} now"
            return


def in_journal(data: Path, counted: Counted) -> Iterator[str]:
    """That the file of a stopped server holds every index in one row, and no failure."""
    with sqlite3.connect(f"file:{data / JOURNAL}?mode=ro", uri=True) as db:
        found = db.execute(
            "SELECT start, stop, failure IS NOT NULL FROM outcomes WHERE batch = ? ORDER BY start",
            (counted.id,),
        ).fetchall()
    db.close()
    yield from of_ranges(counted.name, [(a, b) for a, b, _ in found], counted.total)
    if failed := [start for start, _, failure in found if failure]:
        yield f"{counted.name}: the journal has {len(failed)} failures: {_some(failed)}"


def of_ranges(name: str, ranges: Sequence[tuple[int, int]], total: int) -> Iterator[str]:
    """That half-open ranges, in order, meet end to end from 0 to ``total``."""
    at = 0
    lacking, twice = [], []
    for start, stop in [*ranges, (total, total)]:
        if start > at:
            lacking.append((at, start))
        if start < at:
            twice.append((start, min(at, stop) if stop > start else at))
        at = max(at, stop)
    if lacking:
        yield f"{name}: the journal lacks {_some(lacking)}"
    if twice:
        yield f"{name}: the journal has more than once {_some(twice)}"


def _some(things: Sequence[object]) -> str:
    shown = ", ".join(map(str, things[:5]))
    return f"{shown}, … ({len(things)})" if len(things) > 5 else shown
