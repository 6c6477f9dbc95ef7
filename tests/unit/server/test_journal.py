"""The journal: what it keeps, whom it refuses, and a disk that is full."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.errors import JournalError
from farm.server.database import FILE_NAME, VERSION
from farm.server.journal import Journal
from farm.server.payloads import LARGE
from farm.server.reading import PAGE_BYTES, PAGE_ROWS, Attempt, BatchRow
from farm.wire.messages import Block, Failure

FAILURE = Failure("error", "ValueError", "no", "Traceback ...", None)


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "data")
    yield opened
    opened.close()


def row(number: int = 1, **changes) -> BatchRow:
    values = {
        "id": number, "token": f"t{number}", "name": "sweep", "total": 10, "options": Options(),
        "digest": "", "open": False, "cancelled": False, "submitted": 1.0, "started": 0.0,
        "ended": 0.0,
    }  # fmt: skip
    return BatchRow(**{**values, **changes})


def add_done(journal: Journal, seq: int, start: int, stop: int, payload: bytes = b"p") -> None:
    journal.add_done(seq, 1, (start, stop), "n1", 0.5, start, payload, b"\0" * 4 * (stop - start))


def test_what_was_committed_is_there_after_it_is_opened_again(tmp_path):
    first = Journal(tmp_path)
    rows = [row(1, options=Options(2, 3.5, -1), digest="d"), row(2, open=True, total=0)]
    for one in rows:
        first.add_batch(one, f"spec {one.id}".encode())
    first.add_code("d", {"a.py": b"x = 1"})
    first.add_block(2, Block(0, 3, b"items"))
    first.set_state(
        replace(rows[0], started=2.0, ended=3.0, cancelled=True, paused=True, reason="why",
                dropped=[(7, 9)])
    )  # fmt: skip
    add_done(first, 1, 0, 4)
    first.add_failed(2, 1, 4, "n2", 0.1, FAILURE)
    first.add_attempt(1, 5, "n2", 0.2, 9.0, 1.5, Failure("crash", "", "gone", ""))
    first.add_begun(1, 6, "token", "n1")
    first.pop(1, 7)
    first.commit()
    server = first.server
    first.close()
    again = Journal(tmp_path)
    try:
        assert again.server == server
        assert list(again.batches()) == [
            row(1, options=Options(2, 3.5, -1), digest="d", started=2.0, ended=3.0, cancelled=True,
                paused=True, reason="why", dropped=[(7, 9)]),
            row(2, open=True, total=3),
        ]  # fmt: skip
        assert again.spec(2) == b"spec 2"
        assert again.spec(3) is None
        assert again.code("d") == {"a.py": b"x = 1"}
        assert again.code("e") is None
        assert again.block(2, 2) == Block(0, 3, b"items")
        assert again.block(2, 3) is None
        assert again.recorded(1) == RangeSet([(0, 5)])
        assert again.failed(1) == RangeSet([(4, 5)])
        assert (again.newest(1), again.newest(2)) == (2, 0)
        assert again.highest() == (2, 2)
        assert list(again.shares()) == [(1, "n1", 4, 0.5)]
        assert list(again.failed_seconds()) == [(1, 0.1)]
        assert list(again.attempts()) == [Attempt(1, 5, "crash", "n2", 0.2, 9.0, 1.5, True)]
        assert list(again.begun()) == [(1, 6, "token", "n1")]
        assert again.popped(1) == {7}
    finally:
        again.close()


def test_nothing_can_be_read_before_it_is_committed(journal):
    journal.add_batch(row(), b"spec")
    assert journal.pending == 1
    assert list(journal.batches()) == []
    journal.commit()
    assert journal.pending == 0
    assert len(list(journal.batches())) == 1


def test_a_closed_journal_has_written_what_waited(tmp_path):
    journal = Journal(tmp_path)
    journal.add_batch(row(), b"spec")
    journal.close()
    again = Journal(tmp_path)
    assert again.spec(1) == b"spec"
    again.close()


def test_what_each_node_did_is_summed_up_over_commits_and_restarts(tmp_path):
    for first in (0, 10):
        journal = Journal(tmp_path)
        for index in range(first, first + 10):
            add_done(journal, index + 1, index, index + 1)
            if index % 2:
                journal.commit()
        journal.add_done(100 + first, 2, (0, 5), "n2", 0.25, 0, b"p", b"\0" * 20)
        journal.close()
    journal = Journal(tmp_path)
    assert list(journal.shares()) == [(1, "n1", 20, 10.0), (2, "n2", 10, 0.5)]
    journal.forget(2)
    journal.commit()
    assert not journal.remove_some(2, 100)
    assert list(journal.shares()) == [(1, "n1", 20, 10.0)]
    journal.close()


@pytest.mark.parametrize("how", ["open", "closed", "cancelled"])
def test_an_open_batch_has_as_many_tasks_as_its_blocks(journal, how):
    journal.add_batch(row(1, open=True, total=0), b"spec")
    for start in range(0, 40, 4):
        journal.add_block(1, Block(start, start + 4, b"items"))
        journal.commit()
    journal.add_batch(row(2, open=True, total=0), b"spec")
    if how == "closed":
        journal.close_batch(1, 40)
    elif how == "cancelled":
        journal.set_state(row(1, total=40, cancelled=True))
    journal.commit()
    first, second = journal.batches()
    assert (first.total, first.open, second.total) == (40, how == "open", 0)


def test_what_is_recorded_is_read_at_once_and_merged(journal):
    for seq, (start, stop) in enumerate([(6, 8), (0, 3), (3, 6), (2**62, 2**62 + 1)], 1):
        add_done(journal, seq, start, stop)
    journal.add_failed(9, 1, 12, "n1", 0.1, FAILURE)
    journal.add_failed(10, 1, 11, "n1", 0.1, FAILURE)
    journal.commit()
    assert list(journal.recorded(1)) == [(0, 8), (11, 13), (2**62, 2**62 + 1)]
    assert list(journal.failed(1)) == [(11, 13)]
    assert list(journal.recorded(2)) == list(journal.failed(2)) == []


# -- durability -------------------------------------------------------------------------------


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("disk", 2)])
def test_durability_is_that_of_the_database(tmp_path, durability, synchronous):
    journal = Journal(tmp_path, durability)
    assert journal._one("PRAGMA synchronous") == synchronous
    assert journal._one("PRAGMA journal_mode") == "wal"
    journal.close()


# -- pages ------------------------------------------------------------------------------------


def test_pages_in_index_order_have_no_gap(journal):
    for seq, (start, stop) in enumerate([(6, 8), (0, 3), (3, 6), (9, 10)], 1):
        add_done(journal, seq, start, stop)
    journal.commit()
    assert [(o.start, o.stop) for o in journal.outcomes_from(1, 0)] == [(0, 3), (3, 6), (6, 8)]
    assert [(o.start, o.stop) for o in journal.outcomes_from(1, 4)] == [(3, 6), (6, 8)]
    assert journal.outcomes_from(1, 8) == []
    assert [o.start for o in journal.outcomes_from(1, 9)] == [9]
    assert journal.outcomes_from(2, 0) == []
    assert [o.start for o in journal.outcomes_from(1, 0, rows=1)] == [0]


def test_pages_in_the_order_of_recording(journal):
    for seq, (start, stop) in enumerate([(6, 8), (0, 3)], 1):
        add_done(journal, seq, start, stop)
    journal.commit()
    found, cursor = journal.outcomes_after(1, 0)
    assert [o.start for o in found] == [6, 0]
    assert cursor == 2
    assert journal.outcomes_after(1, 2) == ([], 2)


def test_a_page_ends_after_so_many_rows(journal):
    for index in range(PAGE_ROWS + 5):
        add_done(journal, index + 1, index, index + 1)
    journal.commit()
    assert len(journal.outcomes_from(1, 0)) == len(journal.outcomes_after(1, 0)[0]) == PAGE_ROWS


@pytest.mark.parametrize("failed", [False, True], ids=["results", "failures"])
def test_a_page_ends_after_so_many_bytes(journal, failed):
    half = b"x" * (PAGE_BYTES // 2)
    for index in range(6):
        if failed:
            journal.add_failed(index + 1, 1, index, "n1", 0.1, Failure("error", "E", "", "", half))
        else:
            add_done(journal, index + 1, index, index + 1, half)
    journal.commit()
    assert len(journal.outcomes_from(1, 0)) == 2
    assert len(journal.outcomes_after(1, 0)[0]) == 2


def test_a_row_that_is_larger_than_a_page_is_a_page(journal):
    add_done(journal, 1, 0, 1, b"x" * (2 * PAGE_BYTES))
    journal.commit()
    assert len(journal.outcomes_from(1, 0)) == 1


def test_a_range_that_was_recorded_in_part_names_its_place_in_the_payload(journal):
    journal.add_done(1, 1, (4, 6), "n1", 0.5, 2, b"of 2 to 6", b"\0" * 16)
    journal.commit()
    (outcome,) = journal.outcomes_from(1, 4)
    assert (outcome.start, outcome.offset) == (4, 2)


def test_a_popped_result_leaves_none_that_can_be_read(journal):
    add_done(journal, 1, 0, 1, pickle.dumps(["large" * 1000]))
    add_done(journal, 2, 1, 3, pickle.dumps(["kept", "kept"]))
    for index in (0, 1):
        journal.pop(1, index)
    journal.commit()
    alone, among = journal.outcomes_from(1, 0)
    assert pickle.loads(alone.payload) == [None]
    assert pickle.loads(among.payload) == ["kept", "kept"]


# -- whom it refuses --------------------------------------------------------------------------


def test_a_second_server_on_the_same_data_is_refused(journal):
    with pytest.raises(JournalError, match="another server uses it: stop that one"):
        Journal(journal.path.parent)


def test_the_data_is_free_when_its_server_has_ended(tmp_path):
    Journal(tmp_path).close()
    Journal(tmp_path).close()


def test_a_newer_version_is_refused_and_left_alone(tmp_path):
    Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(JournalError, match=f"is of version {VERSION + 1}, .* install the newer"):
        Journal(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
    db.close()


def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"a letter to my aunt, which is long enough " * 100)
    with pytest.raises(JournalError, match="it is not a journal, or damaged"):
        Journal(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes().startswith(b"a letter")


@pytest.mark.parametrize("version", [0, 1, VERSION, 77])
def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path, version):
    db = sqlite3.connect(tmp_path / FILE_NAME)
    db.execute("CREATE TABLE bookmarks (url)")
    db.execute(f"PRAGMA user_version = {version}")
    db.commit()
    db.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(JournalError, match=r"the database of something else.*'bookmarks'"):
        Journal(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_journal_without_its_identity_is_refused(tmp_path):
    Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("DELETE FROM meta")
    db.close()
    with pytest.raises(JournalError, match=r"damaged .*whose it is"):
        Journal(tmp_path)
    Path(tmp_path / FILE_NAME).unlink()
    Journal(tmp_path).close()


def test_a_journal_says_its_version_in_the_file_itself(tmp_path):
    """So that another farm can refuse it without touching it, also while its log is not merged."""
    journal = Journal(tmp_path)
    header = (tmp_path / FILE_NAME).read_bytes()[:100]
    assert int.from_bytes(header[60:64], "big") == VERSION
    journal.close()


@pytest.mark.parametrize("how", ["removed", "directory removed", "replaced", "moved"])
def test_a_journal_that_is_not_there_any_more_takes_nothing(tmp_path, how):
    directory = tmp_path / "data"
    journal = Journal(directory)
    journal.add_batch(row(), b"spec")
    journal.commit()
    journal.check_there()
    if how == "moved":
        directory.rename(tmp_path / "elsewhere")
    elif how == "directory removed":
        shutil.rmtree(directory)
    else:
        (directory / FILE_NAME).unlink()
    if how == "replaced":
        (directory / FILE_NAME).touch()
    journal.add_batch(row(2), b"spec")
    for step in (journal.check_there, journal.commit, journal.commit):
        with pytest.raises(JournalError, match="is not there any more: it was removed, moved or"):
            step()
    journal.abandon()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="give a directory that can be written with --data"):
        Journal(tmp_path / "file" / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(JournalError, match="give a directory that can be written"):
            Journal(tmp_path)
    finally:
        tmp_path.chmod(0o700)


# -- a disk that is full ----------------------------------------------------------------------


def fill(journal: Journal) -> None:
    """From now on the journal cannot grow."""
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")


def test_what_cannot_be_written_goes_on_waiting_and_is_written_once(journal):
    journal.add_batch(row(), b"spec")
    journal.commit()
    fill(journal)
    add_done(journal, 1, 0, 1, b"x" * (LARGE - 1))
    add_done(journal, 2, 1, 2)
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            journal.commit()
    assert journal.pending == 2
    assert not journal.recorded(1)
    journal._db.execute("PRAGMA max_page_count = 1000000")
    add_done(journal, 3, 2, 3)
    journal.commit()
    assert [outcome.start for outcome in journal.outcomes_after(1, 0)[0]] == [0, 1, 2]
    assert journal.highest() == (1, 3)
    assert list(journal.shares()) == [(1, "n1", 3, 1.5)]


def test_a_record_that_is_refused_leaves_no_transaction_open(journal):
    add_done(journal, 1, 0, 1)
    add_done(journal, 1, 1, 2)
    for _ in range(2):
        with pytest.raises(sqlite3.IntegrityError):
            journal.commit()
    assert not journal.recorded(1)
    journal._pending.pop()
    journal.commit()
    assert journal.recorded(1) == RangeSet([(0, 1)])


def test_a_journal_that_cannot_be_written_at_the_end_says_so_and_lets_go(tmp_path):
    journal = Journal(tmp_path)
    fill(journal)
    add_done(journal, 1, 0, 1, b"x" * (LARGE - 1))
    with pytest.raises(JournalError, match="disk is full"):
        journal.close()
    Journal(tmp_path).close()


def test_the_journal_belongs_to_its_owner_alone(tmp_path):
    Journal(tmp_path / "new" / "data").close()
    assert Path(tmp_path / "new" / "data").stat().st_mode & 0o077 == 0
