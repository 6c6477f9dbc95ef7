"""The journal's file: opened by one server at a time, made or brought up to date, never replaced.

Apart from `farm.server.journal`, which says what stands in it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sqlite3
from importlib import resources
from pathlib import Path

from farm.errors import JournalError
from farm.regular import check_regular

log = logging.getLogger("farm.server")

VERSION = 3
FILE_NAME = "journal.sqlite"

DURABILITY = {"process": "NORMAL", "disk": "FULL"}
"""What survives: the death of the process, or that of the machine's power too (SQLite's
``synchronous``: in WAL mode FULL waits for the disk at each commit, NORMAL at checkpoints)."""

_TABLES = {"meta", "batches", "outcomes"}
"""What every version has."""

_INCREMENTAL = 2  # the value of SQLite's auto_vacuum


def open_database(directory: Path, durability: str) -> sqlite3.Connection:
    """Open the journal of a directory, which is made if missing.

    Raises:
        JournalError: it cannot be used; the message says why and what to do. Nothing that was
            there has been changed.
    """
    path = directory / FILE_NAME
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # SQLite gives its other files the mode of this one: results are nobody else's business.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            check_regular(path, os.fstat(descriptor))
        finally:
            os.close(descriptor)
        _look(path)
        db = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
        try:
            prepare(db, path, durability)
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise refusal(path, error) from error
    return db


def _look(path: Path) -> None:
    """Refuse what is not ours before anything is written: as SQLite closes it, it would be.

    Raises:
        JournalError: it is not.
    """
    # What is damaged here may be whole in the log beside it: that is for `prepare` to say.
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as db,
    ):
        _version(db, path)


def _version(db: sqlite3.Connection, path: Path) -> int:
    """The version of a journal; 0 for one that is still to be made.

    Raises:
        JournalError: it is of a version that this farm does not know, or no journal at all.
        sqlite3.Error: it cannot be read.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables >= _TABLES if version else not tables:
        if version > VERSION:
            raise JournalError(
                f"the journal {path} is of version {version}, this farm writes {VERSION}: "
                "install the newer farm, or give another directory with --data"
            )
        return version
    what = f"it has {min(tables - _TABLES, default='')!r}" if tables else "it has no tables"
    raise JournalError(
        f"{path} is the database of something else, not a journal ({what}): "
        "give another directory with --data"
    )


def prepare(db: sqlite3.Connection, path: Path, durability: str) -> None:
    """Take hold of a database, and make it one of this version.

    Raises:
        JournalError: it is of a version that this farm does not know, or no journal at all.
        sqlite3.Error: it cannot be used.
    """
    # Exclusive: a second server on the same directory is refused, by whichever way this one ended
    # the lock goes with it.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    version = _version(db, path)
    if 0 < version < VERSION:
        _check(db)
    if version == 0:
        db.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")  # before there is any table
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {DURABILITY[durability]}")
    if version == 0:
        _create(db)
    for old in range(version, VERSION) if version else ():
        log.warning("the journal %s is brought from version %d to %d", path, old, old + 1)
        _run(db, resources.files(__package__).joinpath("migrations", f"{old}.sql").read_text(),
             f"PRAGMA user_version = {old + 1}")  # fmt: skip
    # A lock that is only wanted when something is written comes too late.
    db.execute("BEGIN EXCLUSIVE")
    db.execute("COMMIT")
    _let_shrink(db, path)
    if version < VERSION:
        # An older farm is to see in the file itself that it is too old for it.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _check(db: sqlite3.Connection) -> None:
    """Before a journal is changed as a whole.

    Raises:
        sqlite3.DatabaseError: it is damaged.
    """
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"malformed: {found}")


def _create(db: sqlite3.Connection) -> None:
    schema = resources.files(__package__).joinpath("schema.sql").read_text()
    # A script takes no parameters.
    identity = f"INSERT INTO meta VALUES ('server', '{secrets.token_hex(8)}')"  # noqa: S608 - hex
    _run(db, schema, f"{identity}; PRAGMA user_version = {VERSION}")


def _run(db: sqlite3.Connection, script: str, last: str) -> None:
    """A script in one transaction: all of it or nothing."""
    try:
        db.executescript(f"BEGIN IMMEDIATE; {script}; {last}; COMMIT;")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _let_shrink(db: sqlite3.Connection, path: Path) -> None:
    """A journal of version 1 could not give disk back; to be able to it is written anew, once."""
    if db.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL:
        return
    try:
        db.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        db.execute("VACUUM")
    except sqlite3.OperationalError as error:
        log.warning(
            "the journal %s cannot be written anew (%s): the space of forgotten batches is used "
            "again, but not given back to the disk", path, error,
        )  # fmt: skip


def refusal(path: Path, error: Exception) -> JournalError:
    """Why a journal cannot be used, in words that help."""
    text = str(error)
    if "locked" in text or "busy" in text:
        what = "another server uses it: stop that one, or give another directory with --data"
    elif "full" in text or "No space" in text:
        what = f"{text}: make room on its disk, or give another directory with --data"
    elif "not a database" in text or "malformed" in text:
        what = (
            f"it is not a journal, or damaged ({text}); nothing was changed. Move it away (`sqlite3"
            " FILE .recover` may read what is left of it), or give another directory with --data"
        )
    else:
        what = f"{text}: give a directory that can be written with --data"
    return JournalError(f"cannot use the journal {path}: {what}")
