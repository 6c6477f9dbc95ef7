"""What a node has of a batch: which blocks it keeps, and which it asks for ahead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm import holdings
from farm.engines.base import Block
from farm.holdings import MAX_BLOCKS, Work


def work(*pending: tuple[int, int]) -> Work:
    made = Work(1, ready=True, by_value=True)
    for start, stop in pending:
        made.pending.add(start, stop)
    return made


def test_the_blocks_that_are_kept_have_a_bound() -> None:
    held = work((0, 1000))
    for start in range(MAX_BLOCKS + 10):
        held.keep(Block(start, start + 1, b""))
    assert list(held.blocks) == list(range(10, MAX_BLOCKS + 10))


def test_and_so_have_their_bytes_but_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "MAX_BLOCK_BYTES", 100)
    held = work((0, 10))
    for start, size in ((0, 60), (1, 40), (2, 1), (3, 200)):
        held.keep(Block(start, start + 1, bytes(size)))
        assert sum(len(block.payload) for block in held.blocks.values()) <= max(100, size)
        assert start in held.blocks
    held.keep(Block(4, 5, b"x"))
    assert list(held.blocks) == [4]


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
