"""RangeSet against Python's own sets."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from farm.batch import rangeblocks
from farm.batch import ranges as module
from farm.batch.rangeblocks import LIMIT
from farm.batch.ranges import RangeSet

SIZE = 60
bounds = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda pair: sorted(pair))


def indices(ranges: object) -> list[int]:
    return [index for start, stop in ranges for index in range(start, stop)]  # type: ignore[attr-defined]


class RangesAgainstSets(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ranges = RangeSet()
        self.model: set[int] = set()
        self.patch = pytest.MonkeyPatch()

    @initialize(block=st.sampled_from([1, 2, 5, 512]), few=st.sampled_from([1, 2, 16, 1000]))
    def with_blocks_and_merges(self, block: int, few: int) -> None:
        """So small that a few dozen indices have every kind of edge."""
        self.patch.setattr(rangeblocks, "_BLOCK", block)
        self.patch.setattr(module, "_FEW", few)

    def teardown(self) -> None:
        self.patch.undo()

    @rule(bounds=bounds)
    def add(self, bounds: list[int]) -> None:
        self.ranges.add(*bounds)
        self.model |= set(range(*bounds))

    @rule(bounds=bounds)
    def discard(self, bounds: list[int]) -> None:
        self.ranges.discard(*bounds)
        self.model -= set(range(*bounds))

    @rule(bounds=bounds)
    def remove(self, bounds: list[int]) -> None:
        part = set(range(*bounds))
        there = bool(part) and part <= self.model
        assert self.ranges.remove(*bounds) is there
        if there:
            self.model -= part

    @rule(which=st.integers(0, SIZE))
    def remove_one_of_its_ranges(self, which: int) -> None:
        parts = list(self.ranges)
        if parts:
            part = parts[which % len(parts)]
            assert self.ranges.remove(*part)
            self.model -= set(range(*part))

    @rule(n=st.integers(-1, 8))
    def take(self, n: int) -> None:
        expected = sorted(self.model)[: max(0, n)]
        assert indices(self.ranges.take(n)) == expected
        self.model.difference_update(expected)

    @rule(bounds=bounds)
    def intersection(self, bounds: list[int]) -> None:
        expected = sorted(self.model & set(range(*bounds)))
        assert indices(self.ranges.intersection(*bounds)) == expected

    @rule(start=st.integers(0, SIZE))
    def walk(self, start: int) -> None:
        found = list(self.ranges.walk(start))
        assert indices(found) == sorted(index for index in self.model if index >= start)
        assert found == self.ranges.intersection(start, SIZE + 10)

    @rule(beyond=st.integers(0, 3))
    def gaps(self, beyond: int) -> None:
        stop = max(self.model, default=-1) + 1 + beyond
        gaps = self.ranges.gaps(stop)
        assert indices(gaps) == sorted(set(range(stop)) - self.model)
        assert gaps == RangeSet(gaps)
        assert gaps.count == stop - len(self.model)

    @rule(part=st.sets(st.integers(0, SIZE)))
    def with_another_set(self, part: set[int]) -> None:
        other = RangeSet((index, index + 1) for index in part)
        for made, expected in (
            (self.ranges | other, self.model | part),
            (self.ranges & other, self.model & part),
            (self.ranges - other, self.model - part),
            (other - self.ranges, part - self.model),
            (RangeSet.union([self.ranges, other, self.ranges]), self.model | part),
        ):
            assert indices(made) == sorted(expected)
            assert made == RangeSet(made)
            assert made.count == len(expected)

    @rule(part=st.sets(st.integers(0, SIZE)))
    def many_are_added(self, part: set[int]) -> None:
        self.ranges |= RangeSet((index, index + 1) for index in part)
        self.model |= part

    @rule(part=st.sets(st.integers(0, SIZE)))
    def many_are_discarded(self, part: set[int]) -> None:
        self.ranges -= RangeSet((index, index + 1) for index in part)
        self.model -= part

    @rule()
    def made_of_single_indices_at_once(self) -> None:
        starts = sorted(self.model)
        assert RangeSet.of_sorted(starts, [start + 1 for start in starts]) == self.ranges

    @rule()
    def copy_is_independent(self) -> None:
        twin = self.ranges.copy()
        assert twin == self.ranges
        twin.add(SIZE + 5, SIZE + 6)
        assert twin != self.ranges

    @invariant()
    def same_indices(self) -> None:
        assert indices(self.ranges) == sorted(self.model)
        assert self.ranges.count == len(self.model)
        assert bool(self.ranges) == bool(self.model)
        assert [index in self.ranges for index in range(SIZE)] == [
            index in self.model for index in range(SIZE)
        ]
        assert self.ranges == RangeSet((index, index + 1) for index in self.model)
        if self.model:
            assert self.ranges.first == min(self.model)

    @invariant()
    def as_few_ranges_as_possible(self) -> None:
        for (_, stop), (start, _) in itertools.pairwise(self.ranges):
            assert stop < start

    @invariant()
    def blocks_are_neither_empty_nor_long(self) -> None:
        sizes = [len(starts) for starts in self.ranges._starts]
        assert all(0 < size <= 2 * rangeblocks._BLOCK for size in sizes)
        assert sum(sizes) == self.ranges.pieces
        assert sizes == [len(stops) for stops in self.ranges._stops]
        assert self.ranges._lasts == [stops[-1] for stops in self.ranges._stops]


TestRangesAgainstSets = RangesAgainstSets.TestCase


def test_fragments_of_many_blocks() -> None:
    ranges = RangeSet((3 * i, 3 * i + 1) for i in range(5000))
    for i in range(4000):
        ranges.discard(3 * i, 3 * i + 1)
    ranges.add(11997, 11998)  # back to the front
    assert ranges.count == 1001
    assert ranges.first == 11997
    assert ranges.take(2) == [(11997, 11998), (12000, 12001)]
    assert sum(map(len, ranges._starts)) == 999, "what was taken from the front is still held"


def test_the_whole_of_all_indices() -> None:
    ranges = RangeSet([(0, LIMIT)])
    assert ranges.count == LIMIT
    ranges.discard(10**18, 10**18 + 1)
    assert ranges.count == LIMIT - 1
    assert 10**18 not in ranges
    assert LIMIT - 1 in ranges


def test_an_empty_set_has_no_first_index() -> None:
    with pytest.raises(IndexError, match="no first"):
        _ = RangeSet().first


@pytest.mark.parametrize("bounds", [(-1, 2), (3, 2), (0, LIMIT + 1)])
@pytest.mark.parametrize("method", ["add", "discard", "intersection"])
def test_what_is_no_range_is_refused(method: str, bounds: tuple[int, int]) -> None:
    ranges = RangeSet([(0, 5)])
    with pytest.raises(ValueError, match="not a range of indices"):
        getattr(ranges, method)(*bounds)
    assert list(ranges) == [(0, 5)]


def test_other_things_are_not_members_and_not_equal() -> None:
    assert "1" not in RangeSet([(0, 5)])
    assert RangeSet([(0, 5)]) != [(0, 5)]
    assert repr(RangeSet([(0, 5), (7, 8)])) == "RangeSet([(0, 5), (7, 8)])"


def test_a_list_of_the_ranges_of_very_many_indices_is_short():
    assert list(RangeSet([(0, LIMIT)])) == [(0, LIMIT)]


def test_a_change_among_very_many_ranges_moves_few_of_them():
    ranges = RangeSet((2 * i, 2 * i + 1) for i in range(100_000))
    for index in range(0, 100_000, 7):
        ranges.add(2 * index + 1, 2 * index + 2)
        ranges.discard(2 * index, 2 * index + 1)
    assert max(map(len, ranges._starts)) <= 2 * rangeblocks._BLOCK


@pytest.mark.parametrize("few", [1, module._FEW, 10**6])
def test_sets_of_very_many_ranges_that_interleave(few, monkeypatch):
    monkeypatch.setattr(module, "_FEW", few)
    threes = RangeSet((3 * i, 3 * i + 1) for i in range(10_000))
    fives = RangeSet((5 * i, 5 * i + 1) for i in range(2_000))
    one, other = set(range(0, 30_000, 3)), set(range(0, 10_000, 5))
    assert indices(threes & fives) == indices(fives & threes) == sorted(one & other)
    assert indices(threes | fives) == sorted(one | other)
    assert indices(threes - fives) == sorted(one - other)
    assert indices(fives - threes) == sorted(other - one)
    assert (threes | fives).count == len(one | other)


@pytest.mark.parametrize("seed", range(20))
def test_changes_of_many_small_blocks(seed, monkeypatch):
    monkeypatch.setattr(rangeblocks, "_BLOCK", 1 + seed % 3)
    monkeypatch.setattr(module, "_FEW", 1 + seed % 2 * 1000)
    chance, ranges, model = random.Random(seed), RangeSet(), set()
    for _ in range(300):
        start = chance.randrange(200)
        part = range(start, start + chance.choice([1, 1, 1, 1, 2, 7, 60]))
        if chance.random() < 0.6:
            ranges.add(part.start, part.stop)
            model |= set(part)
        else:
            ranges.discard(part.start, part.stop)
            model -= set(part)
        assert indices(ranges) == sorted(model)
        assert ranges.count == len(model)
        assert max(map(len, ranges._starts), default=0) <= 2 * rangeblocks._BLOCK
        other = {chance.randrange(200) for _ in range(30)}
        apart = RangeSet((index, index + 1) for index in other)
        assert list(ranges | apart) == list(RangeSet((i, i + 1) for i in model | other))
        assert indices(ranges & apart) == sorted(model & other)
        assert indices(ranges - apart) == sorted(model - other)
        look = range(chance.randrange(200), 260)
        assert indices(ranges.intersection(look.start, look.stop)) == sorted(model & set(look))
