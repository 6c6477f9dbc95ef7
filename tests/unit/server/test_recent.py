"""Outcomes that are given without being read back from the journal."""

import pickle
import random

import pytest

from farm.batch.spec import Options
from farm.server import recent
from farm.server.journal import Journal
from farm.server.reading import PAGE_BYTES, PAGE_ROWS, BatchRow, Reader
from farm.server.recent import Recent
from farm.wire.messages import Failure, Outcome


def outcome(start: int, size: int = 10) -> Outcome:
    return Outcome(start, start + 1, "node", 0.5, 0, bytes(size), b"\0\0\0\0")


@pytest.fixture
def kept() -> Recent:
    return Recent(PAGE_ROWS, PAGE_BYTES)


def record(kept: Recent, batch: int, *places: int, size: int = 10) -> None:
    for place in places:
        kept.add(batch, place, outcome(place, size))
    kept.written()


def places(page: tuple[list[Outcome], int] | None) -> list[int] | None:
    return None if page is None else [one.start for one in page[0]]


def test_what_was_recorded_last_is_there_for_who_knows_what_was_before(kept):
    record(kept, 1, 7, 9)
    assert places(kept.after(1, 6)) == [7, 9]
    assert kept.after(1, 7) == ([outcome(9)], 9)
    assert kept.after(1, 9) == ([], 9)
    assert kept.after(1, 5) is None
    assert kept.after(2, 9) is None


def test_what_is_not_written_yet_is_not_told(kept):
    record(kept, 1, 1)
    kept.add(1, 2, outcome(2))
    assert places(kept.after(1, 0)) == [1]
    kept.written()
    assert places(kept.after(1, 0)) == [1, 2]


def test_what_is_kept_is_bounded_and_the_oldest_goes(kept, monkeypatch):
    monkeypatch.setattr(recent, "MOST_ROWS", 3)
    record(kept, 1, 1, 2)
    record(kept, 2, 3, 4)
    assert kept.after(1, 0) is None
    assert places(kept.after(1, 1)) == [2]
    assert places(kept.after(2, 2)) == [3, 4]
    record(kept, 2, 5, size=recent.MOST_BYTES)
    assert [kept.after(1, 1), kept.after(2, 4)] == [None, None]
    record(kept, 2, 6)
    assert places(kept.after(2, 5)) == [6]


def test_pages_are_no_larger_than_those_of_the_journal(kept):
    record(kept, 1, 1, 2, 3, size=PAGE_BYTES // 2)
    page = kept.after(1, 0)
    assert places(page) == [1, 2]
    assert places(kept.after(1, page[1])) == [3]


def test_a_change_of_what_was_recorded_makes_it_be_read_again(kept):
    record(kept, 1, 1)
    record(kept, 2, 2)
    kept.change(1)
    assert places(kept.after(1, 0)) == [1]  # it is not written yet
    kept.written()
    assert kept.after(1, 0) is None
    assert places(kept.after(2, 1)) == [2]


def test_followers_are_told_what_is_in_the_journal_whatever_happens(tmp_path, monkeypatch):
    """Each page from each place is the one that is read from the database."""
    monkeypatch.setattr(recent, "MOST_ROWS", 12)
    chance = random.Random(3)
    journal = Journal(tmp_path)
    for batch in (1, 2):
        journal.add_batch(BatchRow(batch, str(batch), "b", 500, Options(), "", 1.0), b"")
    nexts, seq = {1: 0, 2: 0}, 0
    compared = 0
    for _ in range(300):
        for _ in range(chance.randrange(4)):
            batch, seq = chance.choice([1, 2]), seq + 1
            at = nexts[batch]
            nexts[batch] = at + 1
            if chance.random() < 0.1:
                journal.add_failed(seq, batch, at, "n", 0.1, Failure("error", "E", "no", ""))
            else:
                payload = pickle.dumps([at]) * chance.choice([1, 10_000])
                journal.add_done(seq, batch, (at, at + 1), "n", 0.1, at, payload, b"\0\0\0\0")
        if chance.random() < 0.05:
            journal.take_back(chance.choice([1, 2]), 0, 500, 1.0)
        if chance.random() < 0.05:
            journal.pop(chance.choice([1, 2]), chance.randrange(100))
        if chance.random() < 0.8:
            journal.commit()
        for batch in (1, 2):
            for place in range(max(0, seq - 8), seq + 1):
                found, cursor = journal.outcomes_after(batch, place)
                assert (found, cursor) == Reader.outcomes_after(journal, batch, place)
                compared += journal._recent.after(batch, place) is not None
    journal.commit()
    assert compared > 1000
    journal.close()
