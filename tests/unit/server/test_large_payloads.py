"""Large payloads of a journal: beside its database, and as sure as what is in it."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from farm_service import Hand, World

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.errors import JournalError
from farm.server.journal import Journal
from farm.server.payloads import DIRECTORY_NAME, LARGE
from farm.server.reading import PAGE_BYTES, BatchRow
from farm.wire.controls import Forget
from farm.wire.leases import Part, Report
from farm.wire.messages import Block, Done, GetResults

SIZES = [LARGE - 1, LARGE, 10, 3 * LARGE, 0, LARGE + 1]


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "data")
    yield opened
    opened.abandon()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "data")
    yield made
    made.kill()


def content(index: int, size: int = LARGE) -> bytes:
    return bytes([65 + index]) * size


def add_batch(journal: Journal, number: int = 1) -> None:
    row = BatchRow(number, f"t{number}", "b", 10, Options(), "", 1.0)
    journal.add_batch(row, b"spec")


def add(journal: Journal, index: int, size: int = LARGE, batch: int = 1) -> None:
    journal.add_done(
        10 * batch + index, batch, (index, index + 1), "n1", 0.5, index, content(index, size),
        b"\0" * 4,
    )  # fmt: skip


def file_of(journal: Journal, batch: int = 1) -> Path:
    return journal.path.parent / DIRECTORY_NAME / journal.server / str(batch)


def payloads(journal: Journal, batch: int = 1) -> list[bytes]:
    """In the order of recording."""
    found, cursor = [], 0
    while True:
        page, cursor = journal.outcomes_after(batch, cursor)
        if not page:
            return found
        found += [outcome.payload for outcome in page]


def fail(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# -- what is kept, and where ------------------------------------------------------------------


def test_large_and_small_ones_are_read_alike(journal):
    add_batch(journal)
    for index, size in enumerate(SIZES):
        add(journal, index, size)
        journal.add_block(1, Block(index, index + 1, content(index, size)))
        if index % 2:
            journal.commit()
    for _ in range(2):
        assert payloads(journal) == [content(i, size) for i, size in enumerate(SIZES)]
        for index, size in enumerate(SIZES):
            assert journal.block(1, index) == Block(index, index + 1, content(index, size))
            assert journal.payload_size(1, index) == size
            (found,) = journal.outcomes_from(1, index, rows=1)
            assert found.payload == content(index, size)
        assert journal.size(1) == sum(SIZES) + len(b"spec")
        journal.close()
        journal.__init__(journal.path.parent)


def test_large_ones_are_written_once_and_not_into_the_database(journal):
    for index in range(6):
        add(journal, index, 10 * LARGE)
        journal.commit()
    files = [path for path in journal.path.parent.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10 * LARGE
    assert file_of(journal).stat().st_size == 6 * (10 * LARGE + 8)


def test_without_a_large_one_there_is_the_database_alone(journal):
    add(journal, 0, LARGE - 1)
    journal.commit()
    assert not (journal.path.parent / DIRECTORY_NAME).exists()


def test_a_page_counts_their_bytes(journal):
    for index in range(4):
        add(journal, index, PAGE_BYTES // 2)
    journal.commit()
    assert len(journal.outcomes_from(1, 0)) == len(journal.outcomes_after(1, 0)[0]) == 2


def test_one_that_was_popped_is_none(journal):
    add(journal, 0)
    journal.pop(1, 0)
    journal.commit()
    (popped,) = payloads(journal)
    assert pickle.loads(popped) == [None]
    assert journal.payload_size(1, 0) == len(popped)


@pytest.mark.parametrize(("durability", "synced"), [("process", False), ("disk", True)])
def test_they_are_as_durable_as_the_database(tmp_path, monkeypatch, durability, synced):
    steps: list[str] = []
    journal = Journal(tmp_path, durability)
    monkeypatch.setattr(os, "fdatasync", lambda _: steps.append("sync"))
    journal._db.set_trace_callback(steps.append)
    add(journal, 0)
    journal.commit()
    assert steps[-1].startswith("INSERT INTO outcomes"), "alone it needs no transaction"
    add(journal, 1)
    add(journal, 2)
    journal.commit()
    assert steps[-1] == "COMMIT"
    assert steps.count("sync") == (2 if synced else 0)
    journal._db.set_trace_callback(None)
    journal.abandon()


# -- a server that dies -----------------------------------------------------------------------


def killed_before(step: str, directory: Path) -> None:
    """A process that has one result recorded, and dies at a statement of the next commit."""
    pid = os.fork()
    if pid == 0:
        try:
            journal = Journal(directory)
            add_batch(journal)
            add(journal, 0)
            journal.commit()
            journal._db.set_trace_callback(
                lambda sql: os.kill(os.getpid(), signal.SIGKILL) if sql.startswith(step) else None
            )
            add(journal, 1)
            add(journal, 2)
            journal.commit()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("step", ["INSERT INTO outcomes", "COMMIT"])
def test_what_no_row_names_does_no_harm(tmp_path, step):
    killed_before(step, tmp_path)
    journal = Journal(tmp_path)
    assert file_of(journal).stat().st_size == 3 * (LARGE + 8), "it did not die in between"
    assert journal.recorded(1) == RangeSet([(0, 1)])
    add(journal, 3)
    add(journal, 1, 5 * LARGE)
    journal.commit()
    assert payloads(journal) == [content(0), content(1, 5 * LARGE), content(3)]
    journal.abandon()


def test_files_of_batches_that_are_not_in_the_journal_go_at_the_start(journal):
    for number in (1, 2):
        add_batch(journal, number)
        add(journal, 0, batch=number)
    journal.commit()
    gone, kept = file_of(journal, 3), file_of(journal, 2)
    gone.touch()
    other = gone.parent.with_name("another-journal") / "3"
    other.parent.mkdir()
    other.touch()
    journal.close()
    journal.__init__(journal.path.parent)
    assert not gone.exists()
    assert kept.exists()
    assert other.exists(), "it belongs to a journal that was moved away"


# -- a disk that is full ----------------------------------------------------------------------


def test_what_cannot_be_written_goes_on_waiting_and_is_written_once(journal, monkeypatch):
    add(journal, 0)
    journal.commit()
    size = file_of(journal).stat().st_size
    for index in (1, 2):
        add(journal, index, 10 if index == 1 else LARGE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail)
        for _ in range(3):
            with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
                journal.commit()
    assert (journal.pending, journal.recorded(1)) == (2, RangeSet([(0, 1)]))
    add(journal, 3)
    journal.commit()
    assert payloads(journal) == [content(0), content(1, 10), content(2), content(3)]
    assert file_of(journal).stat().st_size == size + 2 * (LARGE + 8)


def test_what_the_database_has_no_room_for_is_cut_off(journal):
    add(journal, 0)
    journal.commit()
    size = file_of(journal).stat().st_size
    pages = journal._one("PRAGMA page_count")
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    add(journal, 1)
    add(journal, 2, LARGE - 1)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            journal.commit()
        assert file_of(journal).stat().st_size == size
    journal._db.execute("PRAGMA max_page_count = 1000000")
    journal.commit()
    assert payloads(journal) == [content(0), content(1), content(2, LARGE - 1)]


def large_result(world: World, hand: Hand, batch: int) -> object:
    part = Part(batch, 0, 1, content(0), b"\0\0\0\0")
    return world.send(hand.peer, Report([part], [], []))


def test_a_server_holds_back_what_it_cannot_write(world, monkeypatch):
    batch = world.submit(1)
    hand = Hand(world, "a")
    hand.want()
    sent = hand.peer._connection.sent
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail)
        number = large_result(world, hand, batch)
        world.clock.pass_time(5.0)
        assert number not in sent
        assert world.core.stalled
        assert world.status(batch).state == "running"
    world.clock.pass_time(2.0)
    assert sent.pop(number) == Done()
    assert world.status(batch).state == "done"
    assert world.given_up == []


# -- what is forgotten, lost or removed -------------------------------------------------------


def done_batch(world: World) -> int:
    batch = world.submit(1)
    hand = Hand(world, f"worker of {batch}")
    hand.want()
    number = large_result(world, hand, batch)
    world.clock.turn()
    assert hand.peer._connection.sent.pop(number) == Done()
    hand.go()
    return batch


def test_the_file_of_a_batch_goes_with_it(world):
    gone, kept = done_batch(world), done_batch(world)
    world.ask(Forget(gone))
    world.clock.pass_time(10.0)
    assert not file_of(world.journal, gone).exists()
    assert file_of(world.journal, kept).exists()
    assert world.ask(GetResults(kept, 0)).outcomes[0].payload == content(0)
    assert not world.journal.forgotten()


def test_it_goes_after_a_restart_too(world):
    gone = done_batch(world)
    world.ask(Forget(gone))
    world.restart()
    assert file_of(world.journal, gone).exists()
    world.clock.pass_time(10.0)
    assert not file_of(world.journal, gone).exists()


def test_a_payload_ends_behind_its_mark(journal):
    add_batch(journal)
    for index, size in enumerate((LARGE, LARGE + 1)):
        add(journal, index, size)
    journal.commit()
    assert journal.named(1) == file_of(journal).stat().st_size
    assert journal.named(2) == 0


def test_what_cannot_be_removed_yet_goes_later(world, monkeypatch):
    gone = done_batch(world)

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        world.ask(Forget(gone))
        world.clock.pass_time(10.0)
    assert world.journal.forgotten() == [gone]
    world.clock.pass_time(10.0)
    assert not world.journal.forgotten()
    assert not file_of(world.journal, gone).exists()


@pytest.mark.parametrize("harm", ["missing", "too short"])
def test_damage_is_told_to_who_asks_and_all_else_goes_on(world, harm):
    lost, kept = done_batch(world), done_batch(world)
    path = file_of(world.journal, lost)
    world.kill()
    if harm == "missing":
        path.unlink()
    else:
        os.truncate(path, 100)
    world.start()
    (outcome,) = world.ask(GetResults(lost, 0)).outcomes
    assert f"malformed: the file of large payloads of batch {lost}: " in outcome.failure.text
    assert str(path.parent) not in outcome.failure.text
    assert world.ask(GetResults(kept, 0)).outcomes[0].payload == content(0)
    world.clock.pass_time(5.0)
    assert world.given_up == []
    assert world.status(done_batch(world)).state == "done"


def test_a_server_whose_payloads_were_removed_ends(world):
    done_batch(world)
    world.clock.pass_time(3.0)
    assert world.given_up == []
    shutil.rmtree(world.journal.path.parent / DIRECTORY_NAME)
    world.clock.pass_time(3.0)
    assert isinstance(world.given_up[0], JournalError)
    assert "were removed, moved or replaced while they were in use" in str(world.given_up[0])
