"""What is read of a journal: batches and their state at the start, then pages of outcomes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.server.damage import Losses, is_damage
from farm.server.payloads import MARK_BYTES, Payloads
from farm.wire.messages import Block, Failure, Outcome, Range

PAGE_BYTES = 1024 * 1024
"""Payload bytes after which a page of outcomes ends (a page has one row at least)."""

PAGE_ROWS = 1000

T = TypeVar("T")

_files = msgspec.msgpack.Decoder(dict[str, bytes])
_options = msgspec.msgpack.Decoder(Options)
_failures = msgspec.msgpack.Decoder(Failure)
_numbers = msgspec.json.Decoder(list[int])
_ranges = msgspec.msgpack.Decoder(list[Range])

# Every row before the one that holds the index ends before it: the database's index on `start` is
# searched, not scanned.
_FROM_INDEX = (
    "WHERE batch = :batch AND stop > :index AND start >="
    " (SELECT ifnull(max(start), 0) FROM outcomes WHERE batch = :batch AND start <= :index)"
)
_TOTAL = (
    "CASE WHEN open THEN max(total, ifnull((SELECT stop FROM blocks WHERE batch = id"
    " ORDER BY start DESC LIMIT 1), 0)) ELSE total END"
)
# In the order of recording, whatever index would spare sorting what is few.
_UNSUMMED = (
    "SELECT batch, node, sum(stop - start) AS done, sum(elapsed) AS seconds"
    " FROM outcomes NOT INDEXED WHERE failure IS NULL AND seq >"
    " ifnull((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'summed'), 0)"
    " AND batch NOT IN (SELECT id FROM batches NOT INDEXED WHERE forgotten) GROUP BY batch, node"
)
_SIZE = "coalesce(size, length(payload))"
_HEAD = "seq, start, stop, node, elapsed, first"
_OUTCOME = f"{_HEAD}, payload, seconds, failure, place, size"


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch as it was journalled; times are seconds since the epoch."""

    id: int
    token: str
    name: str
    total: int
    options: Options
    digest: str
    submitted: float
    started: float = 0.0
    ended: float = 0.0
    open: bool = False
    cancelled: bool = False
    paused: bool = False
    reason: str = ""
    dropped: list[Range] | None = None  # of a cancelled one; None for all without an outcome


@dataclass(frozen=True, slots=True)
class Attempt:
    """A failed attempt of a task that was tried again, ``delay`` seconds after ``at``."""

    batch: int
    index: int
    kind: str
    node: str
    seconds: float
    at: float
    delay: float
    counts: bool
    mark: str = ""


class Reader:
    """Reads of a journal.

    Args:
        db: the database.
    """

    _payloads: Payloads
    """The large ones; given by whoever opened the database, as it says which they are."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._losses = Losses()

    def _one(self, sql: str, *parameters: Any) -> Any:
        row = self._db.execute(sql, parameters).fetchone()
        return row[0] if row else None

    def batches(self) -> Iterator[BatchRow]:
        """Every batch, oldest first."""
        rows = self._db.execute(
            f"SELECT id, token, name, {_TOTAL}, options, digest, submitted, started, ended, open,"  # noqa: S608 - above
            " cancelled, paused, reason, dropped FROM batches WHERE NOT forgotten ORDER BY id"
        )
        for row in rows:
            id_, token, name, total, options, digest, submitted, started, ended, *flags = row
            is_open, cancelled, paused, reason, dropped = flags
            yield BatchRow(
                id_, token, name, total, _decoded(_options, options, f"options of batch {id_}"),
                digest, submitted, started, ended, bool(is_open), bool(cancelled), bool(paused),
                reason,
                None if dropped is None else _decoded(_ranges, dropped, f"ranges of batch {id_}"),
            )  # fmt: skip

    def forgotten(self) -> list[int]:
        """The batches whose rows are still to be removed."""
        return [b for (b,) in self._db.execute("SELECT id FROM batches WHERE forgotten")]

    def _all_batches(self) -> list[int]:
        """Those too whose rows are still to be removed."""
        # Not from an index, which may be damaged where the table is not.
        return [b for (b,) in self._db.execute("SELECT id FROM batches NOT INDEXED")]

    def highest(self) -> tuple[int, int]:
        """The highest batch id and the highest place of an outcome that were ever given."""
        known = dict(self._db.execute("SELECT key, value FROM meta WHERE key IN ('batch', 'seq')"))
        batch = self._one("SELECT max(id) FROM batches") or 0
        seq = self._one("SELECT max(seq) FROM outcomes") or 0
        return max(batch, int(known.get("batch", 0))), max(seq, int(known.get("seq", 0)))

    def newest(self, batch: int) -> int:
        """The place of the newest outcome of a batch; 0 if it has none."""
        return self._one("SELECT max(seq) FROM outcomes WHERE batch = ?", batch) or 0

    def failed(self, batch: int) -> RangeSet:
        """The tasks of a batch that have failed."""
        return self._tasks(
            "SELECT start, start + 1 AS stop FROM outcomes INDEXED BY failures_by_index"
            " WHERE batch = ? AND failure IS NOT NULL ORDER BY start", batch,
        )  # fmt: skip

    def recorded(self, batch: int) -> RangeSet:
        """The tasks of a batch that have an outcome."""
        return self._tasks(
            "SELECT start, stop FROM outcomes INDEXED BY outcomes_by_index"
            " WHERE batch = ? ORDER BY start", batch,
        )  # fmt: skip

    def _tasks(self, sql: str, batch: int) -> RangeSet:
        # One row of two long texts: a million rows of two numbers would take seconds.
        texts = self._db.execute(
            f"SELECT group_concat(start), group_concat(stop) FROM ({sql})",  # noqa: S608 - above
            (batch,),
        ).fetchone()
        starts, stops = (_numbers.decode(f"[{text or ''}]") for text in texts)
        return RangeSet.of_sorted(sorted(starts), sorted(stops))

    def shares(self) -> Iterator[tuple[int, str, int, float]]:
        """What each node did: batch, node, tasks done and their seconds."""
        yield from self._db.execute(
            "SELECT batch, node, sum(done), sum(seconds) FROM"  # noqa: S608 - above
            f" (SELECT batch, node, done, seconds FROM shares UNION ALL {_UNSUMMED})"
            " GROUP BY batch, node"
        )

    def _unsummed(self) -> Iterator[tuple[int, str, int, float]]:
        """As `shares`, of what the table lacks."""
        yield from self._db.execute(_UNSUMMED)

    def failed_seconds(self) -> Iterator[tuple[int, float]]:
        """By batch, the seconds of the tasks that have failed."""
        yield from self._db.execute(
            "SELECT batch, sum(elapsed) FROM outcomes INDEXED BY failures_by_index"
            " WHERE failure IS NOT NULL GROUP BY batch"
        )

    def popped(self, batch: int) -> set[int]:
        """The indices whose results were taken away."""
        return {t for (t,) in self._db.execute("SELECT task FROM popped WHERE batch = ?", (batch,))}

    def attempts(self) -> Iterator[Attempt]:
        """Each failed attempt that was followed by another, oldest first."""
        rows = self._db.execute(
            "SELECT batch, task, kind, node, seconds, at, delay, counts, mark FROM attempts"
            " ORDER BY rowid"  # and not by `at`: clocks are set back
        )
        for *values, counts, mark in rows:
            batch, index, kind, node, seconds, at, delay = values
            yield Attempt(batch, index, kind, node, seconds, at, delay, bool(counts), mark)

    def begun(self) -> Iterator[tuple[int, int, str, str]]:
        """Tasks that must not run twice and have no outcome: batch, index, node's token, node."""
        yield from self._db.execute(
            "SELECT batch, task, token, node FROM begun WHERE NOT EXISTS (SELECT 1 FROM outcomes"
            " WHERE outcomes.batch = begun.batch AND start = task)"
        )

    def spec(self, batch: int) -> bytes | None:
        """The spec of a batch."""
        found: bytes | None = self._one("SELECT spec FROM batches WHERE id = ?", batch)
        return found

    def size(self, batch: int) -> int:
        """Bytes of a batch's spec and of the arguments that travelled with it."""
        spec: int = self._one("SELECT length(spec) FROM batches WHERE id = ?", batch) or 0
        blocks: int = (
            self._one(f"SELECT sum({_SIZE}) FROM blocks WHERE batch = ?", batch) or 0  # noqa: S608 - above
        )
        return spec + blocks

    def named(self, batch: int) -> int:
        """Where the last payload that rows name in the batch's file ends, its mark included.

        0 if they name none.
        """
        ends = (
            self._one(
                f"SELECT place + size + {MARK_BYTES} FROM {table}"  # noqa: S608 - its tables
                " WHERE batch = ? AND place IS NOT NULL ORDER BY place DESC LIMIT 1", batch,
            )
            for table in ("outcomes", "blocks")
        )  # fmt: skip
        return max(end or 0 for end in ends)

    def code(self, digest: str) -> dict[str, bytes] | None:
        """The files of a digest.

        Raises:
            sqlite3.DatabaseError: what is there is none.
        """
        found = self._one("SELECT files FROM code WHERE digest = ?", digest)
        return None if found is None else _decoded(_files, found, "files of a batch")

    def block(self, batch: int, index: int) -> Block | None:
        """The block that holds ``index``."""
        row = self._db.execute(
            "SELECT start, stop, payload, place, size FROM blocks WHERE batch = ? AND start <= ?"
            " ORDER BY start DESC LIMIT 1",
            (batch, index),
        ).fetchone()
        if row is None or index >= row[1]:
            return None
        start, stop, payload, place, size = row
        if type(payload) is not bytes:
            raise sqlite3.DatabaseError(f"malformed: arguments of batch {batch}")
        return Block(start, stop, self._payload(batch, payload, place, size))

    def block_range(self, batch: int, index: int, total: int) -> Range | None:
        """The tasks whose arguments are in the block that holds ``index``; None without one.

        Blocks follow one another without a gap, so that the database's index on where they begin
        tells it also of one whose row cannot be read.

        Args:
            batch: the batch.
            index: of a task.
            total: where the last block ends.
        """
        start, stop = self._db.execute(
            "SELECT (SELECT max(start) FROM blocks WHERE batch = :batch AND start <= :index),"
            " (SELECT min(start) FROM blocks WHERE batch = :batch AND start > :index)",
            {"batch": batch, "index": index},
        ).fetchone()
        stop = total if stop is None else stop
        return (start, stop) if start is not None and index < stop else None

    def _payload(self, batch: int, payload: bytes, place: int | None, size: int | None) -> bytes:
        if place is None or size is None:
            return payload
        return self._payloads.read(batch, place, size)

    def outcomes_after(self, batch: int, seq: int) -> tuple[list[Outcome], int]:
        """A page of outcomes in the order of recording, and the cursor behind it.

        Of results that were lost on the disk it says so: they have failed, all of a row alike.
        """
        rows = self._page("WHERE batch = :batch AND seq > :seq ORDER BY seq LIMIT :rows",
                          batch=batch, seq=seq, rows=PAGE_ROWS)  # fmt: skip
        found = [self._outcome(batch, row) for row in rows]
        return found, rows[-1][0] if rows else seq

    def outcomes_from(self, batch: int, index: int, rows: int = PAGE_ROWS) -> list[Outcome]:
        """A page of outcomes in index order, without a gap, the first of which holds ``index``."""
        page = self._page(f"{_FROM_INDEX} ORDER BY start LIMIT :rows",
                          batch=batch, index=index, rows=rows)  # fmt: skip
        found: list[Outcome] = []
        for row in page:
            if row[1] > index:
                break
            found.append(self._outcome(batch, row))
            index = row[2]
        return found

    def payload_size(self, batch: int, index: int) -> int:
        """Bytes of the results among which that of a task is; 0 if there is none."""
        sql = f"SELECT {_SIZE} FROM outcomes {_FROM_INDEX} ORDER BY start LIMIT 1"  # noqa: S608 - this module's constants
        row = self._db.execute(sql, {"batch": batch, "index": index}).fetchone()
        return row[0] if row else 0

    def recorded_from(self, batch: int, index: int, *, failed: bool) -> list[Outcome]:
        """A page of outcomes in index order from ``index`` on, whatever is missing between them.

        Args:
            batch: the batch.
            index: the first one is the one that holds it, or the next.
            failed: only failures.
        """
        which = "AND failure IS NOT NULL" if failed else ""
        rows = self._page(f"{_FROM_INDEX} {which} ORDER BY start LIMIT :rows",
                          batch=batch, index=index, rows=PAGE_ROWS)  # fmt: skip
        return [self._outcome(batch, row) for row in rows]

    def _page(self, where: str, **parameters: int) -> list[Any]:
        try:
            return self._rows(_OUTCOME, where, parameters)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return self._sound_rows(where, parameters)

    def _rows(self, columns: str, where: str, parameters: Mapping[str, int]) -> list[Any]:
        rows, size = [], 0
        cursor = self._db.execute(
            f"SELECT {columns} FROM outcomes {where}",  # noqa: S608 - this module's constants
            parameters,
        )
        for row in cursor:
            rows.append(row)
            size += len(row[6]) + len(row[7]) + len(row[8] or b"") + (row[10] or 0)
            if size >= PAGE_BYTES:
                break
        cursor.close()
        return rows

    def _sound_rows(self, where: str, parameters: Mapping[str, int]) -> list[Any]:
        """A page of which something cannot be read: what can be, row by row.

        The beginning of a row lies apart from the rest of a long one. Where only that is damaged,
        the payload is None.
        """
        heads = self._rows(f"{_HEAD}, x'', x'', NULL, NULL, NULL", where, parameters)
        rows, size = [], 0
        for head in heads:
            try:
                (row,) = self._rows(_OUTCOME, "WHERE seq = :seq", {"seq": head[0]})
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                row = (*head[:6], None, b"", None, None, None)
            rows.append(row)
            size += len(row[6] or b"") + (row[10] or 0)
            if size >= PAGE_BYTES:
                break
        return rows

    def _outcome(self, batch: int, row: Any) -> Outcome:
        seq, start, stop, node, elapsed, first, payload, seconds, failure, place, size = row
        try:
            if type(payload) is not bytes:
                raise sqlite3.DatabaseError("malformed: a row of the database")
            payload = self._payload(batch, payload, place, size)
            reason = None if failure is None else _decoded(_failures, failure, "a failure")
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._losses.tell(seq, f"what came of batch {batch}, tasks [{start}, {stop}),", error)
            return Outcome(start, stop, node, elapsed, 0, b"", b"", _lost(batch, error))
        return Outcome(start, stop, node, elapsed, start - first, payload, seconds, reason)


def _lost(batch: int, error: Exception) -> Failure:
    """What is told instead of results that were recorded and are not there any more."""
    text = (
        f"the result was recorded, and is damaged on the server's disk ({error}). Restore the "
        "server's data directory from a backup, or run the task again: submit it, or "
        f"`farm export {batch} DIR`, `farm import DIR` and `farm retry` what that makes"
    )
    return Failure("error", "ResultError", text, "")


def _decoded(decoder: msgspec.msgpack.Decoder[T], data: bytes, what: str) -> T:
    """What stands in a row.

    Raises:
        sqlite3.DatabaseError: something else does than was written.
    """
    try:
        return decoder.decode(data)
    except (ValueError, TypeError) as error:  # no msgpack, no UTF-8; no bytes
        raise sqlite3.DatabaseError(f"malformed: {what}: {error}") from error
