"""What was acknowledged, on disk: SQLite in WAL mode, written in groups.

Records are collected and written in one transaction by `commit`; the server answers only after
that. `farm.server.database` opens the file, `farm.server.reading` reads it, and large payloads lie
beside it (`farm.server.payloads`).
"""

from __future__ import annotations

import os
import pickle
import sqlite3
from bisect import bisect_right
from pathlib import Path
from typing import Any

import msgspec

from farm.errors import JournalError
from farm.server.database import FILE_NAME, open_database, refusal
from farm.server.payloads import DIRECTORY_NAME, LARGE, PayloadFiles, Payloads
from farm.server.reading import PAGE_BYTES, PAGE_ROWS, BatchRow
from farm.server.recent import Recent
from farm.server.removal import Removal
from farm.server.shares import Shares
from farm.wire.messages import Block, Failure, Outcome, Range

_NOTHING = pickle.dumps([None], 4)

_encode = msgspec.msgpack.encode


class _Large:
    """A payload that is written beside the database; SQLite is told its place instead."""

    __slots__ = ("batch", "payload", "place")

    def __init__(self, batch: int, payload: bytes) -> None:
        self.batch = batch
        self.payload = payload
        self.place: int | None = None

    def __conform__(self, protocol: object) -> int | None:  # what sqlite3 asks parameters for
        del protocol
        return self.place


class Journal(Removal):
    """One data directory, held by one server at a time.

    Args:
        directory: made if missing.
        durability: a key of `farm.server.database.DURABILITY`.

    Raises:
        JournalError: it cannot be used; the message says why and what to do.
    """

    large = LARGE

    def __init__(self, directory: Path, durability: str = "process") -> None:
        self.path = directory / FILE_NAME
        self._name: str | None = None  # of the file, as SQLite knows it
        self._pending: list[tuple[str, tuple[Any, ...]]] = []
        self.pending_bytes = 0
        """Of results that wait for `commit`."""
        self.has_new_batch = False
        """Whether a batch waits for `commit`: its id is not sure to be its own."""
        self._large: list[_Large] = []  # of what waits
        self._new_blocks: dict[int, list[Block]] = {}  # by batch, those that wait
        self._recent = Recent(PAGE_ROWS, PAGE_BYTES)
        self._summing = False
        super().__init__(self._open(directory, durability))
        try:
            self.server: str = self._identity()
            self._place = self._file()
            self._shares = Shares(self._unsummed(), self.highest()[1])
            self._payloads = self._open_payloads(directory, durability)
            self._payloads.retain(self._all_batches())
        except (sqlite3.Error, OSError) as error:
            self._db.close()
            raise self.refusal(error) from error

    def _open(self, directory: Path, durability: str) -> sqlite3.Connection:
        return open_database(directory, durability)

    def _open_payloads(self, directory: Path, durability: str) -> Payloads:
        # Beside a journal that is moved away, or damaged, its payloads stay as they are.
        place = directory / DIRECTORY_NAME / self.server
        return PayloadFiles(place, self.path, sync=durability == "disk", named=self.named)

    def _identity(self) -> str:
        found: str | None = self._one("SELECT value FROM meta WHERE key = 'server'")
        if found is None:
            raise sqlite3.DatabaseError("malformed: it does not say whose it is")
        return found

    def _file(self) -> tuple[int, int] | None:
        """Which file lies at the journal's place by now; None for one in memory alone."""
        if self._name is None:
            self._name = str(self._db.execute("PRAGMA database_list").fetchone()[2])
        found = os.stat(self._name) if self._name else None  # noqa: PTH116 - with each commit
        return found and (found.st_dev, found.st_ino)

    def check_there(self) -> None:
        """SQLite goes on writing to a file that nobody will ever find again.

        Raises:
            JournalError: the file was removed, or its directory was, or another is in its place.
        """
        try:
            there = self._file() == self._place
        except (FileNotFoundError, NotADirectoryError):
            there = False
        except OSError:
            return  # a disk that does not answer says so when it is written to
        if not there:
            raise JournalError(
                f"the journal {self.path} is not there any more: it was removed, moved or replaced "
                "while it was in use. Nothing was acknowledged since; put it back and start again"
            )

    def check_all_there(self) -> None:
        """As `check_there`, for the large payloads too; too slow for each commit.

        Raises:
            JournalError: see there.
        """
        self.check_there()
        if not self._payloads.is_there():
            raise JournalError(
                f"payloads of the journal {self.path} are not there any more: files in "
                f"{self.path.parent / DIRECTORY_NAME} were removed, moved or replaced while they "
                "were in use. Put them back and start again"
            )

    def refusal(self, error: Exception) -> JournalError:
        """Why the journal cannot be used, for people."""
        return refusal(self.path, error)

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
            JournalError: the file is not there any more.
        """
        if not self._pending:
            return
        self.check_there()
        try:
            self._write_large()
            self._execute_all()
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._payloads.undo()
            raise
        self._payloads.keep()
        self._pending.clear()
        self._large.clear()
        self._new_blocks.clear()
        self._recent.written()
        self.has_new_batch = False
        if self._summing:
            self._shares.clear()
        self._summing = False
        self.pending_bytes = 0

    def _execute_all(self) -> None:
        if len(self._pending) == 1 and not self._summing:
            sql, parameters = self._pending[0]  # alone it is a transaction of its own
            self._db.execute(sql, parameters)
            return
        self._db.execute("BEGIN IMMEDIATE")
        for sql, parameters in self._pending:
            self._db.execute(sql, parameters)
        for sql, parameters in self._shares.statements() if self._summing else ():
            self._db.execute(sql, parameters)
        self._db.execute("COMMIT")

    def sum_up(self) -> None:
        """Write with the next commit what nodes did by then; without that, a start adds it up."""
        self._summing = bool(self._shares)

    def _write_large(self) -> None:
        """Before a row can name them: what is acknowledged is whole, whenever the server dies."""
        of_batch: dict[int, list[_Large]] = {}
        for one in self._large:
            of_batch.setdefault(one.batch, []).append(one)
        for batch, some in of_batch.items():
            places = self._payloads.append(batch, [one.payload for one in some])
            for one, place in zip(some, places, strict=True):
                one.place = place

    def _kept(self, batch: int, payload: bytes) -> tuple[bytes, _Large | None, int | None]:
        """The columns of a payload: itself, its place and its size beside the database."""
        if len(payload) < self.large:
            return payload, None, None
        self._large.append(_Large(batch, payload))
        return b"", self._large[-1], len(payload)

    def add_batch(self, row: BatchRow, spec: bytes) -> None:
        """A new batch."""
        self.has_new_batch = True
        self._write(
            "INSERT INTO batches (id, token, name, total, options, spec, digest, open, submitted,"
            " paused, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row.id, row.token, row.name, row.total, _encode(row.options), spec, row.digest,
            row.open, row.submitted, row.paused, row.reason,
        )  # fmt: skip

    def add_code(self, digest: str, files: dict[str, bytes]) -> None:
        """The files of a digest, once."""
        self._write("INSERT OR IGNORE INTO code VALUES (?, ?)", digest, _encode(files))

    def add_block(self, batch: int, block: Block) -> None:
        """Arguments of an open batch."""
        self._write(
            "INSERT OR IGNORE INTO blocks VALUES (?, ?, ?, ?, ?, ?)",
            batch, block.start, block.stop, *self._kept(batch, block.payload),
        )  # fmt: skip
        self._new_blocks.setdefault(batch, []).append(block)

    def block(self, batch: int, index: int) -> Block | None:
        """See `Reader.block`; one that waits for `commit` is leased, and so to be had, already."""
        new = self._new_blocks.get(batch, [])
        at = bisect_right(new, index, key=lambda block: block.start) - 1
        if at >= 0 and index < new[at].stop:
            return new[at]
        return super().block(batch, index)

    def block_range(self, batch: int, index: int, total: int) -> Range | None:
        """See `Reader.block_range`; those that wait for `commit` follow those that are written."""
        new = self._new_blocks.get(batch)
        return super().block_range(batch, index, new[0].start if new else total)

    def outcomes_after(self, batch: int, seq: int) -> tuple[list[Outcome], int]:
        """See `Reader.outcomes_after`."""
        return self._recent.after(batch, seq) or super().outcomes_after(batch, seq)

    def close_batch(self, batch: int, total: int) -> None:
        """An open batch gets no more tasks; while it is open, its blocks say how many it has."""
        self._write("UPDATE batches SET total = ?, open = 0 WHERE id = ?", total, batch)

    def set_state(self, row: BatchRow) -> None:
        """A batch has begun, ended, or been cancelled, paused or resumed."""
        self._write(
            "UPDATE batches SET total = ?, started = ?, ended = ?, open = ?, cancelled = ?,"
            " paused = ?, reason = ?, dropped = ? WHERE id = ?",
            row.total, row.started, row.ended, row.open, row.cancelled, row.paused, row.reason,
            None if row.dropped is None else _encode(row.dropped), row.id,
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
        inside, place, size = self._kept(batch, payload)
        self._write(
            "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)",
            seq, batch, *part, node, elapsed, first, inside, seconds, place, size,
        )  # fmt: skip
        outcome = Outcome(*part, node, elapsed, part[0] - first, payload, seconds)
        self._recent.add(batch, seq, outcome)
        self.pending_bytes += len(payload)
        self._shares.add(seq, batch, node, part[1] - part[0], elapsed)

    def add_failed(
        self, seq: int, batch: int, index: int, node: str, elapsed: float, failure: Failure
    ) -> None:
        """A task that has failed for good."""
        self._recent.change(batch)
        self._write(
            "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, x'', x'', ?, NULL, NULL)",
            seq, batch, index, index + 1, node, elapsed, index, _encode(failure),
        )  # fmt: skip

    def add_attempt(
        self, batch: int, index: int, node: str, seconds: float, at: float, delay: float,
        failure: Failure, mark: str = "",
    ) -> None:  # fmt: skip
        """A failed attempt of a task that is tried again ``delay`` seconds after ``at``."""
        self._write(
            "INSERT INTO attempts (batch, task, node, kind, seconds, at, failure, delay, mark)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            batch, index, node, failure.kind, seconds, at, _encode(failure), delay, mark,
        )  # fmt: skip

    def take_back(self, batch: int, start: int, stop: int, at: float) -> None:
        """The tasks of a range that have failed are tried anew."""
        self._recent.change(batch)
        self._write(
            "INSERT INTO attempts (batch, task, node, kind, seconds, at, failure, counts)"
            " SELECT batch, start, node, '', elapsed, ?, failure, 0 FROM outcomes"
            " WHERE batch = ? AND failure IS NOT NULL AND start >= ? AND start < ?",
            at, batch, start, stop,
        )  # fmt: skip
        self._write(
            "DELETE FROM outcomes"
            " WHERE batch = ? AND failure IS NOT NULL AND start >= ? AND start < ?",
            batch, start, stop,
        )  # fmt: skip

    def excuse(self, batch: int, start: int, stop: int) -> None:
        """Failed attempts of a range count no more."""
        self._write(
            "UPDATE attempts SET counts = 0 WHERE batch = ? AND task >= ? AND task < ?",
            batch, start, stop,
        )  # fmt: skip

    def add_begun(self, batch: int, index: int, token: str, node: str) -> None:
        """A node is about to be given a task that must not run twice."""
        self._write(
            "INSERT OR REPLACE INTO begun VALUES (?, ?, ?, ?)", batch, index, token, node
        )  # fmt: skip

    def drop_begun(self, batch: int, start: int, stop: int) -> None:
        """These have an outcome, or were given back before they began."""
        self._write(
            "DELETE FROM begun WHERE batch = ? AND task >= ? AND task < ?", batch, start, stop
        )

    def remember(self, batch: int, seq: int) -> None:
        """The highest batch id and place of an outcome, which must not be given again."""
        for key, value in (("batch", batch), ("seq", seq)):
            self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, str(value))

    def forget(self, batch: int) -> None:
        """A batch is not there any more; `remove_some` takes away its rows."""
        self._shares.forget(batch)
        self._recent.change(batch)
        self._write(
            "UPDATE batches SET forgotten = 1, token = 'forgotten ' || id WHERE id = ?", batch
        )

    def pop(self, batch: int, index: int) -> None:
        """A result was taken away. Its row stays as the record; its payload goes, if alone.

        What stays reads as None, so that who reads the whole batch is not stopped by it.
        """
        self._recent.change(batch)
        self._write("INSERT OR IGNORE INTO popped VALUES (?, ?)", batch, index)
        self._write(
            "UPDATE outcomes SET payload = ?, first = start, place = NULL, size = NULL WHERE"
            " batch = ? AND start = ? AND stop = start + 1 AND failure IS NULL",
            _NOTHING, batch, index,
        )  # fmt: skip

    def close(self) -> None:
        """Write what waits and let go of the directory.

        Raises:
            JournalError: it could not be written; nothing of it was acknowledged.
        """
        try:
            self.sum_up()
            self.commit()
        except sqlite3.Error as error:
            raise self.refusal(error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the directory; what waits was never acknowledged."""
        self._payloads.close()
        self._db.close()
