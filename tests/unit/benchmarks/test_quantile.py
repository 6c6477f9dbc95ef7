"""Percentiles by nearest rank."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quantile import percentile


@pytest.mark.parametrize(
    ("share", "expected"), [(0.01, 1), (0.07, 7), (0.5, 50), (0.99, 99), (0.991, 100), (1, 100)]
)
def test_of_a_hundred_it_is_that_one(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=50),
    st.sampled_from([0.01, 0.25, 0.5, 0.9, 0.99, 1.0]),
)
def test_it_is_the_smallest_value_that_covers_the_share(values: list[float], share: float) -> None:
    found = percentile(values, share)

    covering = [
        value
        for value in values
        if sum(other <= value for other in values) >= share * len(values) - 1e-9
    ]
    assert found == min(covering)


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1], 0), ([1], 1.1)])
def test_what_has_no_percentile_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile(values, share)
