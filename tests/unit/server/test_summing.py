"""The sums of what nodes did are exact after any end of the server, however seldom written."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from farm_service import Hand, World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from farm.batch.spec import Options
from farm.server.journal import Journal
from farm.server.reading import BatchRow
from farm.wire.messages import Failure

BATCHES = st.integers(1, 3)
NODES = st.sampled_from(["n1", "n2"])
FAILURE = Failure("error", "ValueError", "no", "", None)

Sums = dict[tuple[int, str], tuple[int, float]]


class Machine(RuleBasedStateMachine):
    """Against sums over what was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.journal = Journal(self.directory)
        self.ahead: list[tuple[int, str]] = []
        self.there: dict[int, list[str]] = defaultdict(list)
        self.last, self.seq = 3, 0
        self.numbers = {1: 1, 2: 2, 3: 3}  # the batches, as they were forgotten and came again
        for number in self.numbers:
            self.add_batch(number)
        self.journal.commit()

    def add_batch(self, number: int) -> None:
        self.journal.add_batch(BatchRow(number, f"t{number}", "b", 9, Options(), "", 1.0), b"")

    @rule(which=BATCHES, node=NODES)
    def finish(self, which: int, node: str) -> None:
        self.seq += 1
        batch = self.numbers[which]
        at = (self.seq, self.seq + 1)
        self.journal.add_done(self.seq, batch, at, node, 0.5, self.seq, b"p", b"\0" * 4)
        self.ahead.append((batch, node))

    @rule(which=BATCHES, node=NODES)
    def fail(self, which: int, node: str) -> None:
        self.seq += 1
        self.journal.add_failed(self.seq, self.numbers[which], self.seq, node, 0.5, FAILURE)

    @rule()
    def commit(self) -> None:
        self.journal.commit()
        for batch, node in self.ahead:
            self.there[batch].append(node)
        self.ahead.clear()

    @rule()
    def commit_on_a_full_disk(self) -> None:
        if not self.journal.pending:
            return
        self.journal._db.execute("PRAGMA query_only = 1")
        with pytest.raises(sqlite3.OperationalError):
            self.journal.commit()
        self.journal._db.execute("PRAGMA query_only = 0")

    @rule()
    def sweep(self) -> None:
        self.journal.sum_up()

    @rule(which=BATCHES, removed=st.booleans())
    def forget(self, which: int, removed: bool) -> None:
        batch = self.numbers[which]
        self.last += 1
        self.numbers[which] = self.last
        self.add_batch(self.last)
        self.journal.forget(batch)
        self.journal.remember(self.last, self.seq)
        self.commit()
        self.there.pop(batch, None)
        while removed and self.journal.remove_some(batch, 2):
            pass

    @rule()
    def take_back(self) -> None:
        self.journal.take_back(self.numbers[1], 0, 2**62, 5.0)
        self.journal.remember(self.last, self.seq)

    @rule(killed=st.booleans())
    def start_again(self, killed: bool) -> None:
        if killed:
            self.journal.abandon()
            self.ahead.clear()
        else:
            self.commit()
            self.journal.close()
        self.journal = Journal(self.directory)
        self.seq = self.journal.highest()[1]
        for number in self.numbers.values():
            if number not in self.journal._all_batches():
                self.add_batch(number)

    def sums(self) -> Sums:
        return {
            (batch, node): (nodes.count(node), 0.5 * nodes.count(node))
            for batch, nodes in self.there.items()
            for node in nodes
        }

    @invariant()
    def all_that_is_recorded_is_in_the_sums(self) -> None:
        known = set(self.numbers.values())
        found = {(batch, node): what for batch, node, *what in self.journal.shares()}
        assert {key: tuple(what) for key, what in found.items() if key[0] in known} == self.sums()

    def teardown(self) -> None:
        self.journal.abandon()
        shutil.rmtree(self.directory)


TestShares = Machine.TestCase
TestShares.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path)
    yield opened
    opened.abandon()


def finish(journal: Journal, seq: int, batch: int = 1) -> None:
    journal.add_done(seq, batch, (seq, seq + 1), "n1", 0.5, seq, b"p", b"\0" * 4)


def in_table(journal: Journal) -> list[tuple[int, str, int, float]]:
    return journal._db.execute("SELECT batch, node, done, seconds FROM shares").fetchall()


def test_they_are_written_when_it_is_time_and_not_with_every_commit(journal):
    for seq in range(1, 4):
        finish(journal, seq)
        journal.commit()
    assert in_table(journal) == []
    journal.sum_up()
    finish(journal, 4)
    journal.commit()
    assert in_table(journal) == [(1, "n1", 4, 2.0)]
    finish(journal, 5)
    journal.commit()
    assert in_table(journal) == [(1, "n1", 4, 2.0)]
    assert list(journal.shares()) == [(1, "n1", 5, 2.5)]


def test_a_start_reads_no_outcome_that_was_summed_up(journal):
    for seq in range(1, 1000):
        finish(journal, seq)
    journal.sum_up()
    finish(journal, 1000)
    journal.commit()
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    journal._db.set_progress_handler(count, 1)
    assert list(journal.shares()) == [(1, "n1", 1000, 500.0)]
    journal._db.set_progress_handler(None, 1)
    assert steps < 500


def test_of_a_forgotten_batch_nothing_comes_back(journal):
    for batch in (1, 2):
        journal.add_batch(BatchRow(batch, f"t{batch}", "b", 9, Options(), "", 1.0), b"")
    finish(journal, 1)
    finish(journal, 2, batch=2)
    journal.commit()
    journal.forget(1)
    journal.commit()
    assert not journal.remove_some(1, 100)
    journal.sum_up()
    finish(journal, 3, batch=2)
    journal.commit()
    assert in_table(journal) == [(2, "n1", 2, 1.0)]


def test_what_a_server_that_was_killed_had_not_summed_up_the_next_one_does(tmp_path):
    journal = Journal(tmp_path)
    for batch in (1, 2):
        journal.add_batch(BatchRow(batch, f"t{batch}", "b", 9, Options(), "", 1.0), b"")
        finish(journal, batch, batch)
    journal.forget(1)
    journal.commit()
    journal.abandon()
    journal = Journal(tmp_path)
    assert not journal.remove_some(1, 100)
    finish(journal, 3, batch=2)
    journal.close()
    journal = Journal(tmp_path)
    assert in_table(journal) == [(2, "n1", 2, 1.0)]
    journal.abandon()


def test_a_server_sums_up_once_a_second(tmp_path):
    world = World(tmp_path)
    batch = world.submit(100)
    hand = Hand(world, "a")
    found = []
    for index in range(40):
        hand.want()
        hand.report(batch, done=[(index, index + 1)])
        world.clock.pass_time(0.1)
        found.append(sum(done for *_, done, _ in in_table(world.journal)))
    assert 30 <= found[-1] < 40
    assert 3 <= len(set(found)) <= 5, "so many seconds have passed"
    world.restart()
    assert [(share.node, share.done) for share in world.status(batch).nodes] == [("a", 40)]
    world.kill()
