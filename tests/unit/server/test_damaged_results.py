"""Results that were lost on the server's disk have failed, and all others are there."""

from __future__ import annotations

import os
import sqlite3

import pytest
from farm_service import Hand, World

from farm.server import recent
from farm.server.damage import MOST_REMEMBERED, Losses
from farm.wire.leases import Part, Report
from farm.wire.messages import GetOutcomes, GetResults, Outcomes

LARGE = 100_000


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(recent, "MOST_ROWS", 0)  # all of it is read from the disk
    made = World(tmp_path)
    yield made
    made.kill()
    assert made.given_up == []


def ran(world: World, *sizes: int, each: int = 2) -> int:
    """A batch that is done: payloads of these sizes, each with some results."""
    batch, hand = world.submit(each * len(sizes)), Hand(world, "n", each * len(sizes))
    hand.want()
    for at, size in enumerate(sizes):
        start = each * at
        part = Part(batch, start, start + each, bytes([at]) * size, b"\0\0\0\0" * each)
        world.ask(Report([part], [], []), hand.peer)
    assert world.status(batch).state == "done"
    return batch


def cut(world: World, size: int) -> None:
    """Take the end of the file of large payloads."""
    for path in world._data.rglob("payloads/*/*"):
        os.truncate(path, size)


REQUESTS = [
    lambda batch: GetOutcomes(batch, 0),
    lambda batch: GetResults(batch, 0),
    lambda batch: GetResults(batch, 0, gaps=True),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=["as they came", "in order", "by now"])
def test_a_page_has_all_others(world, caplog, request_):
    batch = ran(world, LARGE, LARGE, 100)
    cut(world, LARGE + 50)
    for _ in range(3):
        page = world.ask(request_(batch))
        assert isinstance(page, Outcomes)
        whole, lost, small = page.outcomes
        assert (whole.payload, small.payload) == (bytes(LARGE), b"\2" * 100)
        assert (lost.start, lost.stop, lost.payload, lost.seconds) == (2, 4, b"", b"")
        assert (lost.failure.kind, lost.failure.type_name) == ("error", "ResultError")
        assert "damaged on the server's disk" in lost.failure.text
        assert f"`farm export {batch} DIR`" in lost.failure.text
    lines = [line for line in caplog.messages if "malformed" in line]
    assert len(lines) == 1
    assert f"what came of batch {batch}, tasks [2, 4), cannot be read" in lines[0]


@pytest.mark.parametrize("request_", REQUESTS, ids=["as they came", "in order", "by now"])
def test_so_it_has_where_a_row_of_the_database_is_damaged(world, request_):
    batch = ran(world, 10_000, 20_000, 100)
    world.kill()
    path = world._data / "journal.sqlite"
    at = path.read_bytes().index(b"\1" * 3000) // 4096 * 4096  # a page on which the result goes on
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 4)
    world.start()
    whole, lost, small = world.ask(request_(batch)).outcomes
    assert (len(whole.payload), len(small.payload)) == (10_000, 100)
    assert (lost.start, lost.stop, lost.failure.type_name) == (2, 4, "ResultError")


def test_a_failure_that_cannot_be_read_is_one_all_the_same(world):
    batch, hand = world.submit(2), Hand(world, "n", 2)
    hand.want()
    hand.report(batch, failed=[0], done=[(1, 2)])
    world.journal._db.execute("UPDATE outcomes SET failure = x'c1' WHERE failure IS NOT NULL")
    failed, done = world.ask(GetResults(batch, 0)).outcomes
    assert "damaged on the server's disk" in failed.failure.text
    assert done.payload == b"payload"


def test_what_cannot_be_read_for_now_is_refused_in_one_line(world, monkeypatch, caplog):
    batch = ran(world, LARGE, 100)

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        assert world.refused(GetResults(batch, 0)) == "journal"
    assert world.peer._connection.complaints == [
        "the journal cannot be read: disk I/O error: Input/output error"
    ]
    assert "Traceback" not in caplog.text
    assert len(world.ask(GetResults(batch, 0)).outcomes) == 2


def test_so_is_a_page_of_which_not_even_the_rows_can_be_found(world, monkeypatch, caplog):
    batch = ran(world, 100)

    def fail(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(world.journal, "_rows", fail)
    assert world.refused(GetResults(batch, 0)) == "journal"
    assert len(world.peer._connection.complaints) == 1
    assert caplog.records == []


def test_what_was_said_to_be_lost_is_remembered_within_bounds(caplog):
    losses = Losses()
    for key in range(MOST_REMEMBERED + 1):
        losses.tell(key, "something", sqlite3.DatabaseError("malformed"))
    caplog.clear()
    losses.tell(MOST_REMEMBERED, "something", sqlite3.DatabaseError("malformed"))
    assert caplog.records == []
    losses.tell(0, "something", sqlite3.DatabaseError("malformed"))
    assert len(caplog.records) == 1
