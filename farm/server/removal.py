"""How what was forgotten leaves a journal, bit by bit; `farm.server.pruning` says when."""

from __future__ import annotations

from farm.server.reading import Reader

_TABLES = ("outcomes", "attempts", "blocks")
"""Those that may have very many rows of one batch."""


class Removal(Reader):
    """Removes from a journal what nobody reads any more."""

    def remove_some(self, batch: int, rows: int) -> bool:
        """Remove some of a forgotten batch: of its large payloads, then some rows at once.

        Nothing may wait for `commit`.

        Args:
            batch: the batch.
            rows: of each table at most.

        Returns:
            Whether there may be more.

        Raises:
            sqlite3.Error: it could not be done; no row was removed.
        """
        if self._payloads.cut(batch):
            return True
        self._db.execute("BEGIN IMMEDIATE")
        try:
            more = any(self._remove(table, batch, rows) for table in _TABLES)
            if not more:
                self._db.execute("DELETE FROM begun WHERE batch = ?", (batch,))
                self._db.execute("DELETE FROM popped WHERE batch = ?", (batch,))
                self._db.execute("DELETE FROM shares WHERE batch = ?", (batch,))
                self._db.execute("DELETE FROM batches WHERE id = ?", (batch,))
                self._db.execute(
                    "DELETE FROM code WHERE digest NOT IN (SELECT digest FROM batches)"
                )
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return more

    def _remove(self, table: str, batch: int, rows: int) -> bool:
        done = self._db.execute(
            f"DELETE FROM {table} WHERE rowid IN"  # noqa: S608 - this module's own tables
            f" (SELECT rowid FROM {table} WHERE batch = ? LIMIT ?)",
            (batch, rows),
        )
        return done.rowcount >= rows

    @property
    def has_room(self) -> bool:
        """Whether there are pages that nothing uses, or rows of forgotten batches."""
        return bool(self._one("PRAGMA freelist_count")) or bool(self.forgotten())

    def shrink(self, pages: int) -> bool:
        """Give pages that nothing uses back to the disk; whether there may be more.

        Raises:
            sqlite3.Error: it could not be done.
        """
        # `execute` would take one step of it, and each step frees one page.
        self._db.executescript(f"PRAGMA incremental_vacuum({pages})")
        free = self._one("PRAGMA freelist_count") or 0
        if not free or self._one("PRAGMA auto_vacuum") != 2:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return False
        return True
