"""What a node has of a batch: which blocks it keeps, and which it asks for ahead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm import holdings
from farm.engines.base import Block
from farm.holdings import MAX_AHEAD, MAX_BLOCKS, Work


def work(*pending: tuple[int, int]) -> Work:
    made = Work(1, ready=True, by_value=True)
    for start, stop in pending:
        made.pending.add(start, stop)
    return made


def test_of_the_blocks_that_nothing_needs_the_newest_are_kept() -> None:
    held = work((500, 510))
    for start in range(MAX_BLOCKS + 10):
        held.keep(Block(start, start + 1, b""))
    assert list(held.blocks) == list(range(10, MAX_BLOCKS + 10))


def test_of_those_that_are_needed_the_furthest_ahead_go_where_they_are_too_many() -> None:
    held = work((0, 2 * MAX_AHEAD))
    for start in range(MAX_AHEAD + 1):
        held.keep(Block(start, start + 1, b""))
    kept = len(held.blocks)
    assert list(held.blocks) == list(range(kept))
    assert MAX_AHEAD // 2 < kept <= MAX_AHEAD


def test_before_them_those_go_that_nothing_needs() -> None:
    held = work((0, MAX_AHEAD))
    for start in range(MAX_AHEAD):
        held.keep(Block(start, start + 1, b""))
    held.pending.discard(1, MAX_AHEAD // 2)
    held.keep(Block(MAX_AHEAD, MAX_AHEAD + 1, b""))
    assert {0, MAX_AHEAD // 2, MAX_AHEAD - 1} <= held.blocks.keys()
    assert len(held.blocks) <= MAX_AHEAD


def test_none_that_came_with_a_lease_is_asked_for_again() -> None:
    """As many as the node has slots for, and more than nothing but the newest would leave."""
    held = work((0, 1000))
    for start in range(1000):
        held.keep(Block(start, start + 1, b"x" * 100))
    asked = []
    while held.pending:
        asked += held.to_ask(33)
        assert held.cut(16) is not None
    assert asked == []
    assert len(held.blocks) == 1000


def test_those_of_many_slots_are_all_ahead() -> None:
    held = work((0, 1000))
    for start in range(2 * 100 + 1):
        held.keep(Block(start, start + 1, b""))
    assert list(held.to_ask(2 * 100 + 1)) == []


def test_their_bytes_have_a_bound_but_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "MAX_BLOCK_BYTES", 100)
    held = work((0, 10))
    for start, size, kept in ((1, 60, [1]), (2, 40, [1, 2]), (3, 1, [1, 2]), (0, 200, [0])):
        held.keep(Block(start, start + 1, bytes(size)))
        assert list(held.blocks) == kept, "what is needed first is there"
    held.pending.discard(0, 1)
    held.keep(Block(4, 5, b"x"))
    assert list(held.blocks) == [4]
    assert (held.block_of(4), held.block_of(0), held.block_of(5)) == (Block(4, 5, b"x"), None, None)


def test_a_block_that_comes_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "MAX_BLOCK_BYTES", 100)
    held = work((0, 10))
    for _ in range(10):
        held.keep(Block(0, 1, bytes(60)))
    held.keep(Block(1, 2, bytes(40)))
    assert list(held.blocks) == [0, 1]


def test_the_first_block_is_asked_for_alone() -> None:
    held = work((5, 100))
    assert list(held.to_ask(9)) == [5]
    assert list(held.to_ask(9)) == []
    assert held.is_stuck


def test_those_ahead_are_guessed_at_by_the_newest() -> None:
    held = work((0, 10), (40, 50))
    held.keep(Block(0, 4, b""))
    assert not held.is_stuck
    assert list(held.to_ask(4)) == [4, 8, 40]
    held.keep(Block(4, 8, b""))
    held.keep(Block(8, 45, b""))
    assert list(held.to_ask(4)) == [45]


def test_no_more_bytes_than_these_are_asked_for_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "AHEAD_BYTES", 100)
    held = work((0, 10))
    held.keep(Block(0, 1, bytes(40)))
    assert list(held.to_ask(9)) == [1]
    held.keep(Block(1, 2, bytes(400)))
    assert list(held.to_ask(9)) == []
    held.pending.discard(0, 2)
    assert list(held.to_ask(9)) == [2], "one may always be"


@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=30),
    most=st.integers(1, 9),
    taken=st.integers(1, 5),
)
def test_whatever_the_blocks_are_every_task_finds_its_own(lengths, most, taken) -> None:
    """A server that answers one question at a time; tasks are run as soon as they can be."""
    blocks, start = [], 0
    for length in lengths:
        blocks.append(Block(start, start + length, b""))
        start += length
    held, asked, ran = work((0, start)), [], 0
    for _ in range(10 * start + 10):
        asked += held.to_ask(most)
        assert len(held.asked) <= most + 1
        while held.pending and held.block_of(held.pending.first) is not None:
            ran += sum(stop - begin for begin, stop in held.pending.take(taken)[:1])
        if not held.pending:
            break
        if asked:
            at = asked.pop(0)
            held.keep(next(block for block in blocks if block.start <= at < block.stop))
    assert (ran, held.pending.count) == (start, 0)
