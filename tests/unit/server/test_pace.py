"""The token bucket: how many begin in any stretch of time, and when it is asked again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.server.pace import LEAST_WAIT, Pace

RATES = st.floats(0.01, 1e6)


@given(RATES, st.lists(st.tuples(st.floats(0, 100), st.integers(1, 1000)), max_size=30))
def test_in_any_stretch_of_time_no_more_begin_than_the_rate_and_one_burst(rate, steps):
    pace, now, begun = Pace(rate, now=1000.0), 1000.0, []
    for seconds, wanted in steps:
        now += seconds
        count = min(wanted, pace.room(now))
        pace.take(count, now)
        begun.append((now, count))
    for first in range(len(begun)):
        total = 0
        for when, count in begun[first:]:
            total += count
            allowed = rate * (when - begun[first][0]) + pace.limit
            assert total <= allowed * (1 + 1e-9) + 1e-6


@given(RATES, st.floats(0, 1e9))
def test_at_the_next_time_there_is_room(rate, start):
    """Whatever is lost in the last digit of a large time, asking again comes to an end."""
    pace = Pace(rate, now=start)
    pace.take(pace.room(start), start)
    now, asked = start, 0
    while not pace.room(now):
        when = pace.next_time(now)
        assert when > now
        now, asked = when, asked + 1
        assert asked < 5
    assert now - start <= max(1.0, pace.limit / 4) / rate + 5 * LEAST_WAIT


@pytest.mark.parametrize(("rate", "burst"), [(0.5, 1), (10.0, 1), (100.0, 10), (10_000.0, 1000)])
def test_what_was_not_used_is_kept_for_a_tenth_of_a_second(rate, burst):
    pace = Pace(rate, now=0.0)
    assert pace.room(0.0) == 1
    assert pace.room(3600.0) == burst


def test_the_rate_is_reached():
    pace, now, begun = Pace(8.0, now=0.0), 0.0, 0
    while now < 10.0:
        if pace.room(now):
            pace.take(1, now)
            begun += 1
        else:
            now = pace.next_time(now)
    assert begun == pytest.approx(80, abs=2)


def test_a_high_rate_is_asked_for_several_at_once():
    pace = Pace(1000.0, now=0.0)
    pace.take(1, 0.0)
    assert pace.next_time(0.0) == pytest.approx(0.025)
    assert pace.room(0.025) == 25


def test_a_clock_that_stands_still_gives_nothing():
    pace = Pace(5.0, now=10.0)
    pace.take(1, 10.0)
    assert pace.room(10.0) == pace.room(3.0) == 0
