"""Parameter spaces against brute force: every source, with and without excludes and includes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.batch.plain import key
from farm.batch.space import (
    Space,
    SpaceError,
    counted,
    from_document,
    listed,
    matrix,
    zipped,
)
from farm.batch.spread import spread_linear, spread_log, spread_range
from farm.batch.values import Literal, Values

NAMES = ("a", "b", "c", "d")
pool = st.sampled_from(["x", "y", 0, 1, 2.5, True, None, [1], "z"])
column = st.one_of(
    st.lists(pool, max_size=5).map(Literal),
    st.integers(0, 5).map(lambda n: spread_range([n])),
    st.integers(2, 5).map(lambda n: spread_linear([0, 1, n])),
    st.integers(2, 4).map(lambda n: spread_log([1, 100, n])),
    st.just(spread_linear([1, 1, 3])),
    st.just(spread_range([0, 3, 0.5])),
)
columns = st.integers(1, 4).flatmap(
    lambda n: st.fixed_dictionaries(dict.fromkeys(NAMES[:n], column))
)
wanted = pool | st.sampled_from([0.0, 1.0, 0.5, 2, 3, 10.0, 100, "never"])
excludes = st.lists(st.dictionaries(st.sampled_from(NAMES), wanted, max_size=3), max_size=6)
includes = st.lists(st.dictionaries(st.sampled_from(NAMES), pool, max_size=3), max_size=3)


def matches(point: dict[str, Any], exclude: dict[str, Any]) -> bool:
    return all(n in point and key(point[n]) == key(value) for n, value in exclude.items())


def without(points: list[dict[str, Any]], taken: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [point for point in points if not any(matches(point, one) for one in taken)]


def exactly(points: Iterable[dict[str, Any]]) -> list[str]:
    """Points as text, which tells 1 from True, with their names in order."""
    return [repr(sorted(point.items(), key=lambda item: item[0])) for point in points]


def check(space: Space, expected: list[dict[str, Any]], cut: int) -> None:
    """Everything a space can be asked, against the list of its points."""
    assert len(space) == len(expected)
    assert exactly(space[i] for i in range(len(expected))) == exactly(expected)
    assert exactly(space.points(0, len(expected))) == exactly(expected)
    start = min(cut, len(expected))
    stop = min(start + 3, len(expected))
    assert exactly(space.points(start, stop)) == exactly(expected[start:stop])
    assert all(name in point for point in expected for name in space.names)
    if expected:
        assert set(space.names) == set.intersection(*(set(point) for point in expected))
    for outside in (-1, len(expected)):
        with pytest.raises(IndexError):
            space[outside]
    check_rows(space, expected, start, stop)


def check_rows(space: Space, expected: list[dict[str, Any]], start: int, stop: int) -> None:
    """The rows are the points without their names, in whatever order these are asked for."""
    if not space.is_table:
        with pytest.raises(ValueError, match="rows"):
            space.rows(0, 0, space.names)
        return
    for names in (space.names, space.names[::-1]):
        for first, last in ((0, len(expected)), (start, stop)):
            rows = space.rows(first, last, names)
            points = expected[first:last]
            if len(names) == 1:
                assert [repr(row) for row in rows] == [repr(p[names[0]]) for p in points]
            else:
                assert [repr(row) for row in rows] == [
                    repr(tuple(point[name] for name in names)) for point in points
                ]
    with pytest.raises(IndexError):
        space.rows(0, len(expected) + 1, space.names)
    with pytest.raises(ValueError, match="rows"):
        space.rows(0, 0, [*space.names, "another"])


def test_what_a_task_could_change_has_no_rows() -> None:
    assert matrix({"a": Literal([1, 2])}).is_table
    assert not matrix({"a": Literal([1, [2]])}).is_table
    assert not matrix({"a": Literal([1, 2])}, include=[{"b": 3}]).is_table
    assert not listed([{"a": 1}, {"b": 2}]).is_table


def through_the_wire(space: Space) -> Space:
    return from_document(msgspec.msgpack.decode(msgspec.msgpack.encode(space.to_document())))


def values_of(values: Values) -> list[Any]:
    return list(values.between(0, values.count))


@settings(max_examples=400)
@given(columns, excludes, includes, st.integers(0, 200))
def test_matrix(
    columns: dict[str, Values],
    excludes: list[dict[str, Any]],
    includes: list[dict[str, Any]],
    cut: int,
) -> None:
    product = itertools.product(*map(values_of, columns.values()))
    points = [dict(zip(columns, row, strict=True)) for row in product]
    expected = without(points, excludes) + includes
    space = matrix(columns, excludes, includes)
    check(space, expected, cut)
    check(through_the_wire(space), expected, cut)


@settings(max_examples=200)
@given(st.integers(0, 6), st.data(), excludes, includes, st.integers(0, 8))
def test_zip(
    size: int,
    data: st.DataObject,
    excludes: list[dict[str, Any]],
    includes: list[dict[str, Any]],
    cut: int,
) -> None:
    same = st.lists(pool, min_size=size, max_size=size).map(Literal) | st.just(spread_range([size]))
    names = NAMES[: data.draw(st.integers(1, 3))]
    columns = {name: data.draw(same) for name in names}
    rows = zip(*map(values_of, columns.values()), strict=True)
    points = [dict(zip(names, row, strict=True)) for row in rows]
    expected = without(points, excludes) + includes
    space = zipped(columns, excludes, includes)
    check(space, expected, cut)
    check(through_the_wire(space), expected, cut)


points_ = st.lists(st.dictionaries(st.sampled_from(NAMES), pool, max_size=3), max_size=8)
alike = st.lists(st.fixed_dictionaries({"a": pool, "b": pool}), max_size=8)


@settings(max_examples=200)
@given(points_ | alike, excludes, includes, st.integers(0, 9))
def test_list(
    points: list[dict[str, Any]],
    excludes: list[dict[str, Any]],
    includes: list[dict[str, Any]],
    cut: int,
) -> None:
    expected = without(points, excludes) + includes
    space = listed(points, excludes, includes)
    check(space, expected, cut)
    check(through_the_wire(space), expected, cut)


@given(st.integers(0, 20), st.lists(st.integers(-2, 22)), st.integers(0, 20))
def test_count(n: int, taken: list[int], cut: int) -> None:
    expected = [{"index": i} for i in range(n) if i not in taken]
    space = counted(n, [{"index": i} for i in taken])
    check(space, expected, cut)
    check(through_the_wire(space), expected, cut)


def test_no_parameters_are_one_task() -> None:
    check(listed([{}]), [{}], 0)


def test_points_are_consecutive_across_source_and_include() -> None:
    space = matrix({"a": spread_range([3])}, [], [{"a": 9}, {"a": 8}])
    assert [point["a"] for point in space.points(1, 4)] == [1, 2, 9]
    assert [point["a"] for point in space.points(4, 5)] == [8]
    with pytest.raises(IndexError):
        space.points(0, 6)
    with pytest.raises(IndexError):
        space.points(2, 1)


@pytest.mark.parametrize(
    "space",
    [
        matrix({"a": Literal([[1], [2]]), "b": Literal([{"x": []}])}),
        zipped({"a": Literal([[1], [2]])}),
        listed([{"a": [1]}, {"b": 1}], include=[{"c": [3]}]),
        matrix({"a": spread_range([2])}, include=[{"a": {"deep": [1]}}]),
        matrix({"a": spread_range([2])}, include=[{"a": 5}]),
        listed([{"a": 1}, {"b": 1}]),
    ],
)
def test_a_task_that_changes_its_parameters_changes_no_other(space: Space) -> None:
    before = repr([space[i] for i in range(len(space))])
    for point in [*space.points(0, len(space)), *(space[i] for i in range(len(space)))]:
        for value in point.values():
            if isinstance(value, list):
                value.append("changed")
            elif isinstance(value, dict):
                value.clear()
        point["new"] = 1
    assert repr([space[i] for i in range(len(space))]) == before


def test_spaces_that_cannot_be() -> None:
    huge = spread_range([2**63 - 1])
    with pytest.raises(SpaceError, match="too many"):
        matrix({"a": huge, "b": spread_range([2])})
    with pytest.raises(SpaceError, match="9,223,372,036,854,775,808 tasks are too many"):
        matrix({"a": huge}, include=[{"a": 1}])
    with pytest.raises(SpaceError, match="one length"):
        zipped({"a": spread_range([2]), "b": spread_range([3])})
    with pytest.raises(SpaceError, match="names"):
        matrix({})
    with pytest.raises(SpaceError, match="1 to 200 names"):
        matrix({f"n{i}": spread_range([1]) for i in range(201)})


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"kind": "cube"},
        {"kind": "matrix"},
        {"kind": "matrix", "names": ["a"], "values": []},
        {"kind": "matrix", "names": [1], "values": [{"list": []}]},
        {"kind": "matrix", "names": ["a", "a"], "values": [{"list": []}, {"list": []}]},
        {"kind": "zip", "names": [], "values": []},
        {"kind": "points", "points": {}},
        {"kind": "points", "points": [1]},
        {"kind": "points", "points": [{"$": ["map", [[1, 2]]]}]},
        {"kind": "points", "points": [], "include": 3},
        {"kind": "points", "points": [], "exclude": [3]},
    ],
)
def test_documents_of_another_shape_are_refused(document: Any) -> None:
    with pytest.raises(ValueError):
        from_document(document)
