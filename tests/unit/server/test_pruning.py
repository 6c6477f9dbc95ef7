"""Forgotten batches go from the journal bit by bit, whatever comes between; disk is freed."""

from __future__ import annotations

import itertools

import pytest
from farm_service import Hand, World

from farm.server import pruning
from farm.wire.controls import Forget
from farm.wire.leases import Part, Report
from farm.wire.messages import MAX_ITEMS, Cancel, Done, GetResults, GetStatus

ROWS = 3000


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.kill()
    assert made.given_up == []


def large_batch(world: World, rows: int = ROWS, size: int = 500) -> int:
    """One that has ended, with so many rows of outcomes."""
    batch = world.submit(rows)
    hand = Hand(world, f"worker of {batch}", rows)
    hand.want()
    parts = [Part(batch, i, i + 1, b"x" * size, b"\0\0\0\0") for i in range(rows)]
    for at in range(0, rows, MAX_ITEMS):
        assert world.ask(Report(parts[at : at + MAX_ITEMS], [], []), hand.peer) == Done()
    hand.go()
    return batch


def rows_of(world: World, batch: int) -> int:
    db = world.journal._db
    counts = (
        db.execute(f"SELECT count(*) FROM {table} WHERE {key} = ?", (batch,)).fetchone()[0]
        for table, key in (("outcomes", "batch"), ("attempts", "batch"), ("blocks", "batch"),
                           ("begun", "batch"), ("popped", "batch"), ("batches", "id"))
    )  # fmt: skip
    return sum(counts)


def test_rows_go_in_slices_while_others_work(world):
    old = large_batch(world)
    hand = Hand(world, "a")
    new = world.submit(100)
    world.ask(Forget(old))
    left, done = [rows_of(world, old)], 0
    while left[-1]:
        hand.want(1)
        for batch, ranges in hand.leases[-1:]:
            hand.report(batch, done=ranges)
            done += sum(stop - start for start, stop in ranges)
        world.clock.pass_time(pruning.PAUSE_SECONDS)
        left.append(rows_of(world, old))
        assert len(left) < 100
    steps = [before - after for before, after in itertools.pairwise(left)]
    assert [step for step in steps if step][:3] == [100, 200, 400]
    assert len([step for step in steps if step]) >= 4
    assert world.status(new).done == done > 3


def test_a_slow_disk_makes_the_slices_smaller(world, monkeypatch):
    old = large_batch(world)
    clock, remove, sizes = world.clock, world.journal.remove_some, []

    def slow(batch, rows):
        clock._now += 2 * pruning.STEP_SECONDS
        sizes.append(rows)
        return remove(batch, rows)

    monkeypatch.setattr(world.journal, "remove_some", slow)
    world.ask(Forget(old))
    clock.pass_time(1.0)
    assert sizes[:4] == [100, 50, 25, 12]
    assert min(sizes) == 1


@pytest.mark.parametrize("after", [0.0, 2 * pruning.PAUSE_SECONDS, 3600.0])
def test_a_restart_in_the_middle_goes_on_with_it(world, after):
    old, kept = large_batch(world), large_batch(world, 10)
    world.ask(Forget(old))
    world.clock.pass_time(after)
    left = rows_of(world, old)
    assert after == 0.0 or left < ROWS
    highest = world.core.highest
    world.restart()
    assert world.core.highest == highest
    assert world.refused(GetStatus(str(old))) == "unknown-batch"
    world.clock.pass_time(10.0)
    assert rows_of(world, old) == 0
    assert rows_of(world, kept) == 11
    world.restart()
    assert world.core.highest == highest
    assert world.submit(1) == kept + 1


def test_ids_and_places_are_not_given_again_after_the_newest_has_gone(world):
    old = large_batch(world, 10)
    highest = world.core.highest
    assert highest == (old, 10)
    world.ask(Forget(old))
    world.clock.pass_time(10.0)
    assert rows_of(world, old) == 0
    for _ in range(2):
        world.restart()
        assert world.core.highest == highest
    assert world.submit(1) == old + 1


def test_a_full_disk_in_the_middle_only_holds_it_up(world, monkeypatch, caplog):
    old, kept = large_batch(world), large_batch(world, 10)
    world.ask(Forget(old))
    world.clock.pass_time(pruning.PAUSE_SECONDS)
    left = rows_of(world, old)
    assert 0 < left < ROWS
    world.journal._db.execute("PRAGMA query_only = 1")  # any write fails, as on a full disk
    world.clock.pass_time(2 * pruning.AGAIN_SECONDS)
    assert rows_of(world, old) == left
    assert 1 <= caplog.text.count("cannot be removed yet") <= 3
    assert world.ask(GetResults(kept, 0)).outcomes
    world.journal._db.execute("PRAGMA query_only = 0")
    world.clock.pass_time(10.0)
    assert rows_of(world, old) == 0
    assert rows_of(world, kept) == 11


def test_the_disk_is_given_back(world, tmp_path):
    batches = [large_batch(world, 500, 20_000) for _ in range(2)]
    world.journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    size = world.journal.path.stat().st_size
    assert size > 20e6
    world.ask(Forget(batches[0]))
    world.clock.pass_time(60.0)
    assert world.journal.path.stat().st_size < 0.6 * size
    wal = world.journal.path.with_name(world.journal.path.name + "-wal")
    assert not wal.exists() or wal.stat().st_size < 0.3 * size
    assert len(world.ask(GetResults(batches[1], 0)).outcomes) > 0
    world.ask(Forget(batches[1]))
    world.clock.pass_time(60.0)
    assert world.journal.path.stat().st_size < 0.02 * size
    assert not world.clock._timers or not world.service._pruner._planned


def test_the_disk_is_given_back_after_a_restart_while_it_shrank(world):
    old = large_batch(world, 500, 20_000)
    size = world.journal.path.stat().st_size
    world.ask(Forget(old))
    for _ in range(10_000):
        if world.service._pruner._waiting == pruning.deque():
            break
        world.clock.pass_time(pruning.PAUSE_SECONDS)
    assert world.journal.has_room, "it has shrunk already"
    world.restart()
    world.clock.pass_time(60.0)
    assert not world.journal.has_room
    assert world.journal.path.stat().st_size < 0.05 * max(size, 10_000_000)


def test_files_that_no_batch_needs_any_more_go_with_the_last_one(world):
    for number in (1, 2):
        batch = world.submit(1)
        world.journal.add_code("d", {"a.py": b"pass"})
        world.journal._write("UPDATE batches SET digest = 'd' WHERE id = ?", batch)
        world.ask(Cancel(str(number)))
    found = []
    for batch in (1, 2):
        world.ask(Forget(batch))
        world.clock.pass_time(1.0)
        found.append(world.journal.code("d"))
    assert found == [{"a.py": b"pass"}, None]


def test_what_has_ended_is_kept_for_as_long_as_was_said(tmp_path):
    world = World(tmp_path, keep=100.0)
    old, running, paused = world.submit(2), world.submit(2), world.submit(2, paused=True)
    world.ask(Cancel(str(old)))
    world.clock.pass_time(60.0)
    world.restart()
    young = world.submit(2)
    world.ask(Cancel(str(young)))
    world.clock.pass_time(30.0)
    assert sorted(world.core.infos) == [old, running, paused, young]
    world.clock.pass_time(20.0)
    assert sorted(world.core.infos) == [running, paused, young]
    world.clock.pass_time(3600.0)
    assert sorted(world.core.infos) == [running, paused]
    assert rows_of(world, old) == rows_of(world, young) == 0
    world.kill()


def test_without_that_nothing_is_ever_forgotten(world):
    batch = world.submit(0)
    world.clock.pass_time(1000.0)
    assert world.status(batch).state == "done"


def test_the_name_of_a_forgotten_batch_is_that_of_the_one_before(world):
    ids = [world.submit(0, name="b") for _ in range(3)]
    for expected in ids[::-1]:
        assert world.ask(GetStatus("b")).batch == expected
        world.ask(Forget(expected))
    assert world.refused(GetStatus("b")) == "unknown-batch"


def test_a_step_after_the_end_of_the_journal_is_left_to_the_next_server(world):
    old = large_batch(world, 10)
    world.ask(Forget(old))
    world.journal.close()
    world.service._pruner._step()
    world.restart()
    world.clock.pass_time(3600.0)
    assert rows_of(world, old) == 0
