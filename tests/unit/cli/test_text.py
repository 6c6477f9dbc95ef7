"""Numbers, times and other people's text as the commands write them."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.cli.text import count, duration, one_line, rate
from farm.client.jsontext import holds, to_json
from farm.printable import plain


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.00123, "1.2 ms"),
        (0.9999, "1.0 s"),
        (59.9, "59.9 s"),
        (59.97, "1 min"),
        (75, "1 min 15 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (86400 * 4000, "4,000 d"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("tasks", "seconds", "text"),
    [
        (0, 5, "-"),
        (5, 0, "-"),
        (4_200_000, 1, "4,200,000/s"),
        (3, 2, "1.5/s"),
        (1, 2, "30/min"),
        (1, 3600, "1/h"),
    ],
)
def test_rate(tasks: float, seconds: float, text: str) -> None:
    assert rate(tasks, seconds) == text


def test_count() -> None:
    assert (count(1, "task"), count(0, "node")) == ("1 task", "0 nodes")
    assert count(1_000_000, "task") == "1,000,000 tasks"


def test_a_terminal_gets_nothing_to_obey() -> None:
    assert plain("\x1b[31mred\x9b\r") == "\\x1b[31mred\\x9b\\r"
    assert plain("naïve 世界\n\ttab") == "naïve 世界\n\ttab"
    assert one_line("first\nsecond") == "first ..."


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False).filter(
        math.isfinite
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@given(_JSON, st.sampled_from(["utf-8", "ascii", "latin-1"]))
def test_what_json_holds_comes_back_from_it(value: object, encoding: str) -> None:
    assert holds(value)
    text = to_json(value, encoding=encoding)

    assert json.loads(text.encode(encoding).decode(encoding)) == value


class _Text(str):
    """A kind of text that JSON would make plain."""


@pytest.mark.parametrize(
    "value",
    [math.nan, -math.inf, b"x", {1: 2}, {"a": [{2: 3}]}, {1, 2}, 1j, object(), _Text("x"), [b""]],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold(value: object) -> None:
    assert not holds(value)
    assert not holds([value])
    assert not holds({"key": (value,)})


def test_tuples_are_arrays() -> None:
    assert holds((1, (2,)))
    assert to_json((1, (2,))) == "[1, [2]]"
