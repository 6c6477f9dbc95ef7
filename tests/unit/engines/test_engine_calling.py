"""Parameters by position only where that is the same call."""

from __future__ import annotations

import functools

import pytest

from farm.engines.calling import by_both, by_name, by_position, positions


def plain(x, y, z=0):
    return (x, y, z)


def with_keywords_only(x, *, y):
    return (x, y)


def with_positional_only(x, /, y):
    return (x, y)


def with_more(x, *rest, **more):
    return (x, rest, more)


@functools.wraps(plain)
def wrapped(*args, **kwargs):
    return plain(*args, **kwargs)


class Callable:
    def __call__(self, x, y):
        return (x, y)

    def method(self, x):
        return x


@pytest.mark.parametrize(
    ("function", "names", "order"),
    [
        (plain, ["x"], ("x",)),
        (plain, ["y", "x"], ("x", "y")),
        (plain, ["z", "y", "x"], ("x", "y", "z")),
        (plain, ["x", "z"], None),  # y is missing: the call must say so by its name
        (plain, ["x", "other"], None),
        (plain, ["x", "y", "z", "more"], None),
        (with_keywords_only, ["x"], ("x",)),
        (with_keywords_only, ["x", "y"], None),
        (with_positional_only, ["x", "y"], None),
        (with_positional_only, ["y"], None),
        (with_more, ["x"], ("x",)),
        (with_more, ["x", "rest"], None),
        (wrapped, ["x"], None),
        (functools.partial(plain, 1), ["y"], None),
        (Callable(), ["x", "y"], None),
        (Callable().method, ["x"], None),
        (len, ["obj"], None),
    ],
)
def test_positions(function, names, order):
    assert positions(function, names) == order


def test_each_way_of_calling_hands_over_one_value():
    assert by_name(plain)({"y": 2, "x": 1}) == (1, 2, 0)
    assert by_position(plain)((1, 2)) == (1, 2, 0)
    assert by_both(plain)(((1,), {"y": 2})) == (1, 2, 0)
