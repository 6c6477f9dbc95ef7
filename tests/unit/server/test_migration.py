"""A journal of version 1 or 2 is brought up to date with all that is in it, or left as it is."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sqlite3
from pathlib import Path

import msgspec
import pytest

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.errors import JournalError
from farm.server import database
from farm.server.database import FILE_NAME, VERSION
from farm.server.journal import Journal
from farm.server.payloads import LARGE
from farm.server.reading import Attempt, BatchRow
from farm.wire.messages import Block, Failure

SCHEMAS = {version: Path(__file__).with_name(f"journal-v{version}.sql") for version in (1, 2)}
"""As earlier farms made them; they never change."""

FAILURE = Failure("error", "ValueError", "no", "Traceback ...", None)
_pack = msgspec.msgpack.encode

BATCHES = [
    BatchRow(1, "t1", "done", 40, Options(2, 3.5, -1), "d", 1.0, 2.0, 3.0),
    BatchRow(2, "t2", "failed", 5, Options(retries=1), "", 1.0, 2.0, 3.0),
    BatchRow(3, "t3", "cancelled", 9, Options(), "", 1.0, 2.0, 3.0, cancelled=True),
    BatchRow(4, "t4", "open", 6, Options(), "", 1.0, 2.0, open=True),
    BatchRow(5, "t5", "new", 2**63 - 1, Options(), "", 1.0),
]


@pytest.fixture
def old(tmp_path):
    """A directory with a journal of version 1."""
    make_old(tmp_path)
    return tmp_path


@pytest.fixture(params=SCHEMAS)
def any_old(request, tmp_path):
    """A directory with a journal of each earlier version."""
    make_old(tmp_path, request.param)
    return tmp_path


def make_old(directory: Path, version: int = 1) -> None:
    db = sqlite3.connect(directory / FILE_NAME)
    if version > 1:
        db.execute("PRAGMA auto_vacuum = 2")
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(SCHEMAS[version].read_text())
    db.execute("INSERT INTO meta VALUES ('server', 'abc')")
    db.execute(f"PRAGMA user_version = {version}")
    for row in BATCHES:
        options = {"retries": row.options.retries, "timeout": row.options.timeout,
                   "priority": row.options.priority}  # fmt: skip
        db.execute(
            "INSERT INTO batches (id, token, name, total, options, spec, digest, open, cancelled,"
            " submitted, started, ended) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (row.id, row.token, row.name, row.total, _pack(options), b"spec %d" % row.id,
             row.digest, row.open, row.cancelled, row.submitted, row.started, row.ended),
        )  # fmt: skip
    db.execute("INSERT INTO code VALUES ('d', ?)", (_pack({"a.py": b"x = 1"}),))
    db.execute("INSERT INTO blocks VALUES (4, 0, 6, x'aa')")
    parts = [(1, i, i + 1, f"n{i % 2}") for i in range(40)]
    parts += [(2, 0, 2, "n1"), (2, 3, 5, "n1"), (3, 1, 3, "n1"), (4, 5, 6, "n1")]
    for batch, start, stop, node in parts:
        db.execute(
            "INSERT INTO outcomes (batch, start, stop, node, elapsed, first, payload, seconds)"
            " VALUES (?, ?, ?, ?, 0.5, ?, ?, ?)",
            (batch, start, stop, node, start, pickle.dumps([start] * (stop - start)) + b"x" * 2000,
             b"\0" * 4 * (stop - start)),
        )  # fmt: skip
    db.execute("INSERT INTO outcomes VALUES (99, 2, 2, 3, 'n2', 0.25, 2, x'', x'', ?)",
               (_pack(FAILURE),))  # fmt: skip
    db.execute("INSERT INTO attempts (batch, task, node, kind, seconds, at, failure)"
               " VALUES (2, 2, 'n1', 'error', 0.125, 2.5, ?)", (_pack(FAILURE),))  # fmt: skip
    if version > 1:
        db.execute("INSERT INTO shares SELECT batch, node, sum(stop - start), sum(elapsed)"
                   " FROM outcomes WHERE failure IS NULL GROUP BY batch, node")  # fmt: skip
    db.execute("INSERT INTO popped VALUES (1, 7)")
    db.commit()
    db.close()


def check(journal: Journal) -> None:
    """All that was in it is in it."""
    assert journal.server == "abc"
    assert list(journal.batches()) == BATCHES
    assert [journal.spec(row.id) for row in BATCHES] == [b"spec %d" % row.id for row in BATCHES]
    assert journal.code("d") == {"a.py": b"x = 1"}
    assert journal.block(4, 5) == Block(0, 6, b"\xaa")
    recorded = {row.id: list(journal.recorded(row.id)) for row in BATCHES}
    assert recorded == {1: [(0, 40)], 2: [(0, 5)], 3: [(1, 3)], 4: [(5, 6)], 5: []}
    assert journal.failed(2) == RangeSet([(2, 3)])
    assert [journal.newest(row.id) for row in BATCHES] == [40, 99, 43, 44, 0]
    assert journal.highest() == (5, 99)
    assert list(journal.attempts()) == [Attempt(2, 2, "error", "n1", 0.125, 2.5, 0.0, True)]
    assert journal.popped(1) == {7}
    assert sorted(journal.shares()) == [
        (1, "n0", 20, 10.0), (1, "n1", 20, 10.0), (2, "n1", 4, 1.0), (3, "n1", 2, 0.5),
        (4, "n1", 1, 0.5),
    ]  # fmt: skip
    assert list(journal.failed_seconds()) == [(2, 0.25)]
    results = [o for start in range(0, 40, 10) for o in journal.outcomes_from(1, start, 10)]
    assert [pickle.loads(o.payload) for o in results] == [[i] for i in range(40)]
    (failure,) = journal.recorded_from(2, 0, failed=True)
    assert failure.failure == FAILURE
    assert list(journal.begun()) == []
    assert journal.forgotten() == []


def version_of(directory: Path) -> int:
    db = sqlite3.connect(directory / FILE_NAME)
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return db.execute("PRAGMA user_version").fetchone()[0]
    finally:
        db.close()


def schema_of(directory: Path) -> set[tuple[str, str]]:
    """What there is, and for tables their columns."""
    db = sqlite3.connect(directory / FILE_NAME)
    try:
        found = {("index", name) for (name,) in db.execute(
            "SELECT name || ' ' || coalesce(substr(sql, instr(sql, ' ON ')), '')"
            " FROM sqlite_master WHERE type = 'index'")}  # fmt: skip
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            found |= {(table, str(column[1:])) for column in db.execute(
                f"PRAGMA table_info({table})")}  # fmt: skip
        return found
    finally:
        db.close()


def test_everything_is_kept(any_old):
    for _ in range(2):
        journal = Journal(any_old)
        check(journal)
        journal.close()
    assert version_of(any_old) == VERSION


def test_it_is_then_like_one_that_was_made_today(any_old):
    Journal(any_old).close()
    Journal(any_old / "new").close()
    assert schema_of(any_old) == schema_of(any_old / "new")


def test_it_then_takes_what_is_large(any_old):
    journal = Journal(any_old)
    journal.add_block(4, Block(6, 7, b"b" * LARGE))
    journal.add_done(100, 4, (6, 7), "n1", 0.5, 6, b"p" * LARGE, b"\0\0\0\0")
    journal.close()
    journal = Journal(any_old)
    assert journal.block(4, 6) == Block(6, 7, b"b" * LARGE)
    assert [o.payload for o in journal.outcomes_from(4, 6)] == [b"p" * LARGE]
    journal.close()


def test_it_gives_disk_back_when_a_batch_is_forgotten(old):
    journal = Journal(old)
    before = (old / FILE_NAME).stat().st_size
    journal.forget(1)
    journal.commit()
    while journal.remove_some(1, 10):
        pass
    while journal.shrink(5):
        pass
    journal.close()
    assert (old / FILE_NAME).stat().st_size < before - 40 * 2000
    journal = Journal(old)
    assert [row.id for row in journal.batches()] == [2, 3, 4, 5]
    journal.close()


def test_where_it_cannot_be_written_anew_it_is_used_as_it_is(old, monkeypatch, caplog):
    """There is not always room for a second copy."""

    class Cramped(sqlite3.Connection):
        def execute(self, sql, *parameters):
            if sql == "VACUUM":
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, *parameters)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, factory=Cramped, **k))
    journal = Journal(old)
    check(journal)
    journal.forget(1)
    journal.commit()
    assert not journal.remove_some(1, 100)
    assert not journal.shrink(5)
    journal.close()
    assert "not given back to the disk" in caplog.text


@pytest.mark.parametrize("table", ["outcomes", "blocks"])
def test_one_that_is_damaged_is_refused_and_left_alone(old, table):
    """Also where nothing that is changed touches the damage."""
    file = old / FILE_NAME
    db = sqlite3.connect(file)
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    db.close()
    content = bytearray(file.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\x55" * 4096
    file.write_bytes(content)
    with pytest.raises(JournalError, match="damaged"):
        Journal(old)
    assert file.read_bytes() == content
    assert [path.name for path in old.iterdir()] == [FILE_NAME]


# -- broken off -------------------------------------------------------------------------------


def interrupted(directory: Path, step: int, act) -> bool:
    """Open a journal; at the ``step``-th step of it ``act`` is called. Whether it came to that."""
    steps = 0
    connect = sqlite3.connect

    def at_step() -> int:
        nonlocal steps
        steps += 1
        return act() if steps == step else 0

    def watched(*arguments, **more) -> sqlite3.Connection:
        db = connect(*arguments, **more)
        if not more.get("uri"):  # which only looks
            db.set_progress_handler(at_step, 50)
        return db

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", watched)
        with contextlib.suppress(JournalError):
            Journal(directory).abandon()
    return steps >= step


def in_child(function) -> int:
    """Run it in a process of its own; how that ended."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 1


@pytest.mark.parametrize("how", ["error", "kill"])
def test_broken_off_at_any_step_it_is_of_one_version_and_whole(tmp_path, how):
    versions, step = [], 1
    while True:
        directory = tmp_path / str(step)
        directory.mkdir()
        make_old(directory)
        if how == "error":
            reached = interrupted(directory, step, lambda: 1)
        else:
            ended = in_child(lambda d=directory, s=step: interrupted(d, s, die))
            reached = ended == -signal.SIGKILL
        versions.append(version_of(directory))
        journal = Journal(directory)
        check(journal)
        journal.close()
        assert version_of(directory) == VERSION
        if not reached:
            break
        step += max(1, step // 5)
    assert set(versions) == {1, 2, VERSION}
    assert versions == sorted(versions), "what was brought up to date stays so"
    assert len(versions) > 10


@pytest.mark.parametrize("after", ["_run", "_let_shrink"])
def test_killed_between_two_steps_it_is_whole(old, monkeypatch, after):
    done = getattr(database, after)

    def last(*arguments) -> None:
        done(*arguments)
        die()

    monkeypatch.setattr(database, after, last)
    assert in_child(lambda: Journal(old)) == -signal.SIGKILL
    monkeypatch.undo()
    assert version_of(old) == (2 if after == "_run" else VERSION)
    journal = Journal(old)
    check(journal)
    assert journal._one("PRAGMA user_version") == VERSION
    assert journal._one("PRAGMA auto_vacuum") == 2
    journal.close()
