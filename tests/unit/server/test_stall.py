"""A journal that cannot be written: who looks is told, and the log says it once a minute."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from farm_service import EPOCH, Hand, World

from farm.server.stall import COMPLAINT_SECONDS, Stall
from farm.wire.controls import Forget, Pause, Resume, Retry
from farm.wire.leases import Part, Report
from farm.wire.messages import Cancel, GetStatus, ListBatches

FULL = sqlite3.OperationalError("database or disk is full")
READ_ONLY = sqlite3.OperationalError("attempt to write a readonly database")


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.kill()


def fill(world: World) -> tuple[int, float]:
    """A batch that has ended, and a full disk; the batch, and when that began."""
    ended, batch = world.submit(1), world.submit(1)
    hand = Hand(world, "n", 2)
    hand.want()
    hand.want()
    hand.report(ended, done=[(0, 1)])
    world.fill_disk()
    since = world.clock.time()
    part = Part(batch, 0, 1, b"x" * 30_000, b"\0\0\0\0")
    world.send(hand.peer, Report([part], [], []))
    world.clock.turn()
    assert world.core.stalled
    return ended, since


def test_who_looks_is_told_why_and_since_when_and_what_to_do(world):
    ended, since = fill(world)
    world.clock.pass_time(30.0)
    for status in (world.status(ended), *world.ask(ListBatches(10)).batches):
        assert status.stalled.why == "database or disk is full"
        assert status.stalled.since == pytest.approx(EPOCH + since)
        assert (
            "Free room on the file system of the server's data directory" in status.stalled.advice
        )
        assert str(world._data) not in status.stalled.advice
    world.make_room()
    world.clock.pass_time(2.0)
    assert world.status(ended).stalled is None


def test_what_needs_room_is_refused_with_the_same(world):
    ended, _ = fill(world)
    last = str(ended)
    for request in (Cancel(last), Forget(ended), Pause(last), Resume(last), Retry(last)):
        answer = world.ask(request)
        assert answer.code == "journal"
        assert "cannot write its journal (database or disk is full); nothing was" in answer.text
        assert "Free room on the file system of the server's data directory" in answer.text


def test_what_had_ended_before_has_ended(world):
    ended, _ = fill(world)
    world.send(world.peer, GetStatus(str(ended), 30.0))
    world.clock.turn()
    assert world.status(ended).state == "done"
    assert world.status(ended + 1).state == "running", "its last result is not written"
    world.make_room()
    world.clock.pass_time(2.0)
    assert world.status(ended + 1).state == "done"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    told = [line for line in caplog.messages if "the journal" in line]
    caplog.clear()
    return told


def test_the_log_says_it_once_a_minute(caplog):
    stall = Stall(Path("/data/journal.sqlite"))
    for second in range(121):
        stall.met(FULL, 1000.0 + second)
    first, second, third = lines(caplog)
    assert "the journal /data/journal.sqlite cannot be written (database or disk is full)" in first
    assert "Free room on the file system of /data" in first
    assert "for 60 s by now" in second
    assert "for 120 s by now" in third
    stall.over()
    assert lines(caplog) == ["the journal /data/journal.sqlite can be written again"]


def test_a_disk_that_is_full_now_and_then_does_not_fill_the_log(caplog):
    stall = Stall(Path("/data/journal.sqlite"))
    for second in range(int(COMPLAINT_SECONDS)):
        stall.met(FULL, 1000.0 + second)
        assert stall.told(1000.0 + second, 0.0).since == 0.0, "it began anew"
        stall.over()
        assert stall.told(1000.0 + second, 0.0) is None
    assert len(lines(caplog)) == 2
    stall.met(FULL, 1000.0 + COMPLAINT_SECONDS)
    assert len(lines(caplog)) == 1


def test_room_is_not_what_every_disk_lacks(caplog):
    stall = Stall(Path("/data/journal.sqlite"))
    stall.met(READ_ONLY, 0.0)
    assert "See that /data can be written" in caplog.text
    assert "room" not in stall.refusal
