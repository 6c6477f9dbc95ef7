"""Indices that are named, as ranges: what they become and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.cli.indices import parse
from farm.client.indices import merged
from farm.errors import UsageError

ONE = st.integers(0, 60)
MANY = st.lists(ONE | st.builds(range, ONE, ONE, st.sampled_from([1, 2, -1])))


@given(MANY)
def test_they_are_the_same_indices_in_order_and_apart(indices):
    ranges = merged(indices)
    wanted = {i for one in indices for i in (one if isinstance(one, range) else (one,))}
    assert {i for start, stop in ranges for i in range(start, stop)} == wanted
    bounds = [bound for pair in ranges for bound in pair]
    assert bounds == sorted(set(bounds))


@pytest.mark.parametrize("wrong", [[-1], [range(-3, 2)], ["7"], [1.0], [2**63], [range(2**64)]])
def test_what_is_no_index_is_refused(wrong):
    with pytest.raises(UsageError, match="index"):
        merged(wrong)


def test_a_huge_range_costs_nothing():
    assert merged([range(10**18), 10**18]) == [(0, 10**18 + 1)]


@given(st.lists(st.tuples(ONE, ONE).map(sorted), min_size=1))
def test_a_list_is_read_with_both_ends(pairs):
    text = ", ".join(f"{a}-{b}" if a != b else str(a) for a, b in pairs)
    assert parse(text, 100) == merged(range(a, b + 1) for a, b in pairs)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is neither an index nor a range; write for example 3,7-9"),
        ("1,,2", "'' is neither"),
        ("x", "'x' is neither"),
        ("1-", "'1-' is neither"),
        ("1-2-3", "neither"),
        ("1.5", "neither"),
        ("²", "neither"),
        ("9-7", "9-7 is reversed; write 7-9"),
        ("-3", "-3 is negative: indices count from 0"),
        ("3,10", "there is no task 10: the batch has tasks 0 to 9"),
        ("5-99", "there is no task 99"),
        ("9" * 19, "no task has the index"),
        ("9" * 30, "neither"),
    ],
)
def test_rubbish_is_refused(text, words):
    with pytest.raises(UsageError) as refusal:
        parse(text, 10)
    assert words in str(refusal.value)


def test_a_batch_without_tasks_has_no_index():
    with pytest.raises(UsageError, match="the batch has no tasks"):
        parse("0", 0)
