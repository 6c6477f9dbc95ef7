"""Values through msgpack and back, and which values count as the same."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.plain import SpaceError, copied, key, pack, unpack

zones = st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=5, minutes=45)))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**62, 2**70)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=zones)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.just("$") | st.integers(), inner)
        | st.tuples(inner, inner)
    ),
    max_leaves=10,
)


def types(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value), [types(item) for item in value]
    if isinstance(value, dict):
        return [(types(name), types(item)) for name, item in value.items()]
    return type(value)


@given(values)
def test_values_travel_exactly(value: Any) -> None:
    wire = msgspec.msgpack.decode(msgspec.msgpack.encode(pack(value)))
    again = unpack(wire)
    assert again == value
    assert types(again) == types(value)


def test_very_long_integers_travel() -> None:
    assert unpack(pack(-(10**9000))) == -(10**9000)


def deep(levels: int) -> Any:
    return [] if not levels else [deep(levels - 1)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1}, "a value of type set cannot be a parameter"),
        (object(), "of type object"),
        (1j, "of type complex"),
        ("\ud800", "not valid Unicode"),
        ({"\ud800": 1}, "not valid Unicode"),
        (deep(70), "nested more than 64 deep"),
        ([{"a": {2}}], "of type set"),
        (datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC")), "of type datetime"),
    ],
)
def test_what_cannot_travel_is_refused(value: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        pack(value)


@pytest.mark.parametrize(
    "data",
    [{"$": 1}, {"$": ["what", 1]}, {"$": ["date", "x"]}, {"$": ["map", [[[], 1]]]}, {"$": [1]}],
)
def test_data_that_was_never_packed_is_refused(data: Any) -> None:
    with pytest.raises(SpaceError, match="not a packed value"):
        unpack(data)


def test_keys_tell_values_apart_as_people_do() -> None:
    assert key(1) == key(1.0)
    assert key(True) != key(1)
    assert key(float("nan")) == key(float("nan"))
    assert key([1, {"a": 2}]) == key([1.0, {"a": 2}])
    assert key([1]) != key((1,))
    assert key("1") != key(1)
    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
    assert key(date(2024, 1, 1)) != key(datetime(2024, 1, 1))


def test_copies_share_no_container() -> None:
    original = {"a": [1, {"b": (2, [3])}]}
    twin = copied(original)
    assert twin == original
    twin["a"][1]["b"][1].append(4)
    assert original == {"a": [1, {"b": (2, [3])}]}
