"""Values by position: what they are, where one stands, and which numbers are refused."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.plain import SpaceError
from farm.batch.spread import read_values, spread_linear, spread_log, spread_range
from farm.batch.values import MAX_COUNT, Literal, Values

tenths = st.integers(-300, 300).map(lambda n: n / 10)
steps = st.integers(-20, 20).filter(bool)


def everything(values: Values) -> list[Any]:
    return list(values.between(0, values.count))


@given(st.integers(-50, 50), st.integers(-50, 50), steps)
def test_whole_numbers_are_python_ranges(start: int, stop: int, step: int) -> None:
    values = spread_range([start, stop, step])
    assert everything(values) == list(range(start, stop, step))
    assert values.count == len(range(start, stop, step))


@given(tenths, tenths, steps)
def test_floats_are_counted_and_computed_in_decimals(start: float, stop: float, step: int) -> None:
    width = step / 10
    exact = [Fraction(repr(number)) for number in (start, stop, width)]
    expected = []
    at = exact[0]
    while (at < exact[1]) if step > 0 else (at > exact[1]):
        expected.append(float(at))
        at += exact[2]
    assert everything(spread_range([start, stop, width])) == expected


def test_the_examples_people_trip_over() -> None:
    assert everything(spread_range([0, 1, 0.1])) == [n / 10 for n in range(10)]
    assert everything(spread_range([1, 1.3, 0.1])) == [1.0, 1.1, 1.2]
    assert everything(spread_range([2.5])) == [0.0, 1.0, 2.0]
    assert everything(spread_range([3])) == [0, 1, 2]
    assert everything(spread_range([1, 3])) == [1, 2]
    assert everything(spread_linear([0, 1, 11])) == [n / 10 for n in range(11)]
    assert everything(spread_log([1, 1000, 4])) == [1.0, 10.0, 100.0, 1000.0]
    assert everything(spread_log([0.1, 0.001, 3])) == [0.1, 0.01, 0.001]
    assert everything(spread_linear([5, 5, 3])) == [5.0, 5.0, 5.0]


finite = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
positive = st.floats(1e-6, 1e6)


@given(finite, finite, st.integers(2, 50))
def test_linspace_holds_both_ends_and_is_monotone(first: float, last: float, n: int) -> None:
    if first == last:
        last += 1
    points = everything(spread_linear([first, last, n]))
    assert (points[0], points[-1], len(points)) == (first, last, n)
    assert points == sorted(points, reverse=first > last)


@given(positive, positive.filter(lambda x: x > 1e-5), st.integers(2, 50))
def test_logspace_holds_both_ends_and_grows_evenly(first: float, last: float, n: int) -> None:
    if math.isclose(first, last, rel_tol=1e-6):
        last *= 2
    points = everything(spread_log([first, last, n]))
    assert (points[0], points[-1], len(points)) == (first, last, n)
    for at, point in enumerate(points):
        expected = math.log(first) + (math.log(last) - math.log(first)) * at / (n - 1)
        assert math.isclose(math.log(point), expected, rel_tol=1e-9, abs_tol=1e-9)


SPREAD = [
    spread_range([5, 100, 7]),
    spread_range([100, 5, -7]),
    spread_range([0, 1, 0.1]),
    spread_range([1.5, -3, -0.5]),
    spread_linear([-1, 1, 9]),
    spread_linear([1, -1, 7]),
    spread_log([1, 1000, 31]),
    spread_log([50, 0.5, 12]),
    Literal(["a", 1, True, None, [1, {"x": 2}], 2.5, "b"]),
]


@pytest.mark.parametrize("values", SPREAD)
def test_every_value_is_found_where_it_stands_and_no_other(values: Values) -> None:
    for position in range(values.count):
        assert values.runs(values.at(position)) == [(position, position + 1)]
    for other in ("zz", 7.77, 10**30, -(10**30), math.nan, math.inf, False, [1], 0.05):
        assert values.runs(other) == []


def test_large_spreads_are_searched_by_arithmetic() -> None:
    n = 10**15
    assert spread_range([n]).runs(10**14) == [(10**14, 10**14 + 1)]
    assert spread_range([n]).runs(1e14) == [(10**14, 10**14 + 1)]
    assert spread_linear([0, n - 1, n]).runs(123456789) == [(123456789, 123456790)]
    assert spread_linear([3, 3, n]).runs(3.0) == [(0, n)]
    middle = spread_log([1, 10**6, 10**9])
    assert middle.runs(middle.at(333_333_333)) == [(333_333_333, 333_333_334)]


def test_equal_values_of_a_list_stand_in_runs() -> None:
    values = Literal(["a", "a", "b", "a", 1, 1.0, True])
    assert values.runs("a") == [(0, 2), (3, 4)]
    assert values.runs(1) == [(4, 6)]
    assert values.runs(True) == [(6, 7)]


@pytest.mark.parametrize("values", SPREAD)
def test_documents_round_trip(values: Values) -> None:
    again = read_values(values.to_document())
    assert everything(again) == everything(values)
    assert [type(v) for v in everything(again)] == [type(v) for v in everything(values)]


@pytest.mark.parametrize(
    ("spread", "numbers", "message"),
    [
        (spread_range, [], "range takes 1 to 3 numbers"),
        (spread_range, [1, 2, 3, 4], "not 4"),
        (spread_range, [0, 1, 0], "step of a range cannot be 0"),
        (spread_range, [0, 1, 0.0], "step of a range cannot be 0"),
        (spread_range, ["1"], "range takes numbers, not '1'"),
        (spread_range, [True], "range takes numbers, not True"),
        (spread_range, [math.inf], "range takes finite numbers"),
        (spread_range, [2**63], "too many; the limit is 2\\*\\*63 - 1"),
        (spread_range, [0.5, 10**400], "too large for a float"),
        (spread_range, [1e16, 1e16 + 100, 0.5], "so close together"),
        (spread_linear, [0, 1], "linspace takes 3 numbers"),
        (spread_linear, [0, 1, 1], "at least 2 values"),
        (spread_linear, [0, 1, 0], "at least 2 values"),
        (spread_linear, [0, 1, 2.0], "whole number of values"),
        (spread_linear, [0, 1, 10**17], "so close together"),
        (spread_linear, [0, math.nan, 2], "finite"),
        (spread_log, [0, 1, 3], "greater than 0"),
        (spread_log, [-1, 1, 3], "greater than 0"),
        (spread_log, [1, 2, 10**17], "so close together"),
        (spread_log, [2, 2, MAX_COUNT + 1], "too many"),
    ],
)
def test_numbers_that_cannot_be_spread(spread: Any, numbers: list[Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        spread(numbers)


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"list": 1}, {"range": "x"}, {"odd": []}, {"list": [], "range": []}],
)
def test_other_documents_are_refused(document: object) -> None:
    with pytest.raises(SpaceError):
        read_values(document)
