"""Greedy list scheduling, and the lengths that are scheduled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.listing import LONGEST, SHORTEST, greedy, lengths

SECONDS = st.lists(st.integers(1, 20), max_size=30)


def slowly(seconds: list[int], slots: int) -> int:
    """The same, second by second."""
    waiting, running, now = list(seconds), [0] * slots, 0
    while waiting or any(running):
        for slot in range(slots):
            if running[slot] == 0 and waiting:
                running[slot] = waiting.pop(0)
        running = [max(0, left - 1) for left in running]
        now += 1
    return now


@given(SECONDS, st.integers(1, 5))
def test_each_free_slot_takes_the_next_one(seconds: list[int], slots: int) -> None:
    assert greedy(seconds, slots) == slowly(seconds, slots)


def test_the_order_is_kept() -> None:
    assert greedy([1, 1, 1, 3], 2) == 4  # the other way round it were 3


def test_lengths_are_the_same_each_time_and_keep_to_their_limits() -> None:
    found = lengths(400)

    assert found == lengths(400)
    assert all(SHORTEST <= seconds <= LONGEST for seconds in found)
    assert 50 < sum(found) < 100
    assert min(found) < 0.02
    assert max(found) == LONGEST
