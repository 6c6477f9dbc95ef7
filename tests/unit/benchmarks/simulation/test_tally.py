"""What many processes have seen, put together."""

from __future__ import annotations

import array
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulation.tally import Tally, percentile, summed


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.01, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)]
)
def test_the_nearest_rank(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == value


def test_of_nothing_there_is_none() -> None:
    assert percentile([], 0.99) == 0.0


@given(st.lists(st.floats(0.0, 1e6), min_size=1))
def test_half_of_all_lie_about_the_median(values: list[float]) -> None:
    assert percentile(values, 0.5) == statistics.median_low(values)


def test_the_sum_has_all_calls_and_the_whole_time() -> None:
    one = Tally(array.array("f", [0.5]), tasks=3, calls=5, joined=1, began=2.0, complete=4.0)
    other = Tally(array.array("f", [0.25]), tasks=4, calls=6, joined=2, began=1.0, complete=3.0)
    one.cpu, other.cpu = [0.1], [0.2]
    total = summed([one, other])
    assert list(total.leases) == [0.5, 0.25]
    assert (total.tasks, total.calls, total.joined) == (7, 11, 3)
    assert (total.began, total.complete, total.cpu) == (1.0, 4.0, [0.1, 0.2])


def test_the_next_one_keeps_what_counts_since_the_start() -> None:
    tally = Tally(array.array("f", [0.5]), tasks=3, calls=5, beats=2, joined=7, lost=1, began=2.0)
    assert tally.anew() == Tally(joined=7, lost=1, began=2.0)
    assert Tally().began == math.inf
