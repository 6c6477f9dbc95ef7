"""What was acknowledged, on disk: SQLite in WAL mode, written in groups.

Records are collected and written in one transaction by `commit`; the server answers only after
that. With `synchronous=NORMAL` a committed record survives the death of the process.
"""

from __future__ import annotations

import os
import pickle
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from farm.batch.spec import Options
from farm.errors import JournalError
from farm.wire.messages import Block, Failure, Outcome

VERSION = 1
FILE_NAME = "journal.sqlite"

PAGE_BYTES = 1024 * 1024
"""Payload bytes after which a page of outcomes ends (a page has one row at least)."""

PAGE_ROWS = 1000

_NOTHING = pickle.dumps([None], 4)

_files = msgspec.msgpack.Decoder(dict[str, bytes])
_options = msgspec.msgpack.Decoder(Options)
_failures = msgspec.msgpack.Decoder(Failure)
_encode = msgspec.msgpack.encode

# Every row before the one that holds the index ends before it: the database's index on `start` is
# searched, not scanned.
_FROM_INDEX = (
    "WHERE batch = :batch AND stop > :index AND start >="
    " (SELECT ifnull(max(start), 0) FROM outcomes WHERE batch = :batch AND start <= :index)"
)
_OUTCOME = "seq, start, stop, node, elapsed, first, payload, seconds, failure"


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch as it was journalled."""

    id: int
    token: str
    name: str
    total: int
    options: Options
    digest: str
    open: bool
    cancelled: bool
    submitted: float
    started: float
    ended: float


class Journal:
    """One data directory, held by one server at a time.

    Args:
        directory: made if missing.

    Raises:
        JournalError: it cannot be used; the message says why and what to do.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        self._pending: list[tuple[str, tuple[Any, ...]]] = []
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = self._open()
        except (sqlite3.Error, OSError) as error:
            raise self._refusal(error) from error
        self.server: str = self._one("SELECT value FROM meta WHERE key = 'server'")

    def _open(self) -> sqlite3.Connection:
        # SQLite gives its other files the mode of this one: results are nobody else's business.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        db = sqlite3.connect(self.path, timeout=0.0, isolation_level=None, check_same_thread=False)
        try:
            # Exclusive: a second server on the same directory is refused, by whichever way this
            # one ended the lock goes with it.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._create(db)
        except BaseException:
            db.close()
            raise
        if version > VERSION:
            db.close()
            raise JournalError(
                f"the journal {self.path} is of version {version}, this farm writes {VERSION}: "
                "install the newer farm, or give another directory with --data"
            )
        return db

    def _create(self, db: sqlite3.Connection) -> None:
        schema = resources.files(__package__).joinpath("schema.sql").read_text()
        db.executescript(
            f"BEGIN IMMEDIATE; {schema}; INSERT INTO meta VALUES ('server',"
            f" '{secrets.token_hex(8)}'); PRAGMA user_version = {VERSION}; COMMIT;"
        )

    def _refusal(self, error: Exception) -> JournalError:
        text = str(error)
        if "locked" in text or "busy" in text:
            what = "another server uses it: stop that one, or give another directory with --data"
        elif isinstance(error, sqlite3.DatabaseError) and "not a database" in text:
            what = "it is not a journal, or damaged: move it away, or give another with --data"
        else:
            what = f"{text}: give a directory that can be written with --data"
        return JournalError(f"cannot use the journal {self.path}: {what}")

    def _one(self, sql: str, *parameters: Any) -> Any:
        row = self._db.execute(sql, parameters).fetchone()
        return row[0] if row else None

    # -- writing ------------------------------------------------------------------------------

    def _write(self, sql: str, *parameters: Any) -> None:
        self._pending.append((sql, parameters))

    @property
    def pending(self) -> int:
        """Records that wait for `commit`."""
        return len(self._pending)

    def commit(self) -> None:
        """Write what waits, in one transaction; on an error all of it goes on waiting.

        Raises:
            sqlite3.Error: it could not be written, and nothing of it was.
        """
        if not self._pending:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for sql, parameters in self._pending:
                self._db.execute(sql, parameters)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._pending.clear()

    def add_batch(self, row: BatchRow, spec: bytes) -> None:
        """A new batch."""
        self._write(
            "INSERT INTO batches (id, token, name, total, options, spec, digest, open, submitted)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row.id, row.token, row.name, row.total, _encode(row.options), spec, row.digest,
            row.open, row.submitted,
        )  # fmt: skip

    def add_code(self, digest: str, files: dict[str, bytes]) -> None:
        """The files of a digest, once."""
        self._write("INSERT OR IGNORE INTO code VALUES (?, ?)", digest, _encode(files))

    def add_block(self, batch: int, block: Block) -> None:
        """Arguments of an open batch."""
        self._write(
            "INSERT OR IGNORE INTO blocks VALUES (?, ?, ?, ?)",
            batch, block.start, block.stop, block.payload,
        )  # fmt: skip

    def grow_batch(self, batch: int, total: int, *, open: bool) -> None:  # noqa: A002
        """An open batch has more tasks, or is closed."""
        self._write("UPDATE batches SET total = ?, open = ? WHERE id = ?", total, open, batch)

    def set_times(self, batch: int, started: float, ended: float, *, cancelled: bool) -> None:
        """A batch has begun, ended or been cancelled."""
        self._write(
            "UPDATE batches SET started = ?, ended = ?, cancelled = ?, open = open AND NOT ?"
            " WHERE id = ?",
            started, ended, cancelled, cancelled, batch,
        )  # fmt: skip

    def add_done(
        self,
        seq: int,
        batch: int,
        part: tuple[int, int],
        node: str,
        elapsed: float,
        first: int,
        payload: bytes,
        seconds: bytes,
    ) -> None:
        """Tasks that are done; ``payload`` begins at index ``first``."""
        self._write(
            "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            seq, batch, *part, node, elapsed, first, payload, seconds,
        )  # fmt: skip

    def add_failed(
        self, seq: int, batch: int, index: int, node: str, elapsed: float, failure: Failure
    ) -> None:
        """A task that has failed for good."""
        self._write(
            "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, x'', x'', ?)",
            seq, batch, index, index + 1, node, elapsed, index, _encode(failure),
        )  # fmt: skip

    def add_attempt(
        self, batch: int, index: int, node: str, seconds: float, at: float, failure: Failure
    ) -> None:
        """A failed attempt of a task that is tried again."""
        self._write(
            "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?)",
            batch, index, node, failure.kind, seconds, at, _encode(failure),
        )  # fmt: skip

    def pop(self, batch: int, index: int) -> None:
        """A result was taken away. Its row stays as the record; its payload goes, if alone.

        What stays reads as None, so that who reads the whole batch is not stopped by it.
        """
        self._write("INSERT OR IGNORE INTO popped VALUES (?, ?)", batch, index)
        self._write(
            "UPDATE outcomes SET payload = ?, first = start"
            " WHERE batch = ? AND start = ? AND stop = start + 1 AND failure IS NULL",
            _NOTHING, batch, index,
        )  # fmt: skip

    # -- reading ------------------------------------------------------------------------------

    def batches(self) -> Iterator[BatchRow]:
        """Every batch, oldest first."""
        rows = self._db.execute(
            "SELECT id, token, name, total, options, digest, open, cancelled, submitted, started,"
            " ended FROM batches ORDER BY id"
        )
        for id_, token, name, total, options, digest, is_open, cancelled, *times in rows:
            yield BatchRow(
                id_, token, name, total, _options.decode(options), digest, bool(is_open),
                bool(cancelled), *times,
            )  # fmt: skip

    def recorded(self) -> Iterator[tuple[int, int, int, int, bool, str, float]]:
        """Each outcome in order: seq, batch, start, stop, failed, node, elapsed."""
        for *place, failed, node, elapsed in self._db.execute(
            "SELECT seq, batch, start, stop, failure IS NOT NULL, node, elapsed FROM outcomes"
            " ORDER BY seq"
        ):
            seq, batch, start, stop = place
            yield seq, batch, start, stop, bool(failed), node, elapsed

    def popped(self, batch: int) -> set[int]:
        """The indices whose results were taken away."""
        return {t for (t,) in self._db.execute("SELECT task FROM popped WHERE batch = ?", (batch,))}

    def attempts(self) -> Iterator[tuple[int, int, str, float]]:
        """Each failed attempt that was tried again: batch, index, kind, seconds."""
        yield from self._db.execute("SELECT batch, task, kind, seconds FROM attempts")

    def spec(self, batch: int) -> bytes | None:
        """The spec of a batch."""
        found: bytes | None = self._one("SELECT spec FROM batches WHERE id = ?", batch)
        return found

    def code(self, digest: str) -> dict[str, bytes] | None:
        """The files of a digest."""
        found = self._one("SELECT files FROM code WHERE digest = ?", digest)
        return None if found is None else _files.decode(found)

    def block(self, batch: int, index: int) -> Block | None:
        """The block that holds ``index``."""
        row = self._db.execute(
            "SELECT start, stop, payload FROM blocks WHERE batch = ? AND start <= ?"
            " ORDER BY start DESC LIMIT 1",
            (batch, index),
        ).fetchone()
        return Block(*row) if row and row[0] <= index < row[1] else None

    def outcomes_after(self, batch: int, seq: int) -> tuple[list[Outcome], int]:
        """A page of outcomes in the order of recording, and the cursor behind it."""
        rows = self._page("WHERE batch = :batch AND seq > :seq ORDER BY seq LIMIT :rows",
                          batch=batch, seq=seq, rows=PAGE_ROWS)  # fmt: skip
        found = [_outcome(row) for row in rows]
        return found, rows[-1][0] if rows else seq

    def outcomes_from(self, batch: int, index: int, rows: int = PAGE_ROWS) -> list[Outcome]:
        """A page of outcomes in index order, without a gap, the first of which holds ``index``."""
        page = self._page(f"{_FROM_INDEX} ORDER BY start LIMIT :rows",
                          batch=batch, index=index, rows=rows)  # fmt: skip
        found: list[Outcome] = []
        for row in page:
            if row[1] > index:
                break
            found.append(_outcome(row))
            index = row[2]
        return found

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
        return [_outcome(row) for row in rows]

    def _page(self, where: str, **parameters: int) -> list[Any]:
        rows, size = [], 0
        # The text is put together from this module's constants alone.
        cursor = self._db.execute(f"SELECT {_OUTCOME} FROM outcomes {where}", parameters)
        for row in cursor:
            rows.append(row)
            size += len(row[6]) + len(row[7]) + len(row[8] or b"")
            if size >= PAGE_BYTES:
                break
        cursor.close()
        return rows

    def close(self) -> None:
        """Write what waits and let go of the directory.

        Raises:
            JournalError: it could not be written; nothing of it was acknowledged.
        """
        try:
            self.commit()
        except sqlite3.Error as error:
            raise self._refusal(error) from error
        finally:
            self._db.close()


def _outcome(row: Any) -> Outcome:
    _, start, stop, node, elapsed, first, payload, seconds, failure = row
    reason = None if failure is None else _failures.decode(failure)
    return Outcome(start, stop, node, elapsed, start - first, payload, seconds, reason)
