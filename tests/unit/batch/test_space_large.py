"""Spaces far too large to expand: answers come from arithmetic, in a bounded amount of memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import pytest

from farm.batch.counting import Counting
from farm.batch.plain import SpaceError
from farm.batch.space import Space, counted, from_document, matrix, zipped
from farm.batch.spread import spread_linear, spread_range
from farm.batch.values import Integers, Literal

TRILLION = 10**12


def big() -> Space:
    """10**17 points, less 10**12 of one exclude, 10**11 of another, and 2 of a third."""
    return matrix(
        {
            "a": spread_range([10**6]),
            "b": spread_linear([0, 1, 10**6 + 1]),
            "kind": Literal(["odd", "all"]),
            "c": spread_range([50_000]),
        },
        exclude=[
            {"a": 123_456, "c": 7},
            {"b": 0.5, "kind": "odd"},
            {"a": 5, "b": 1, "c": 49_999},
        ],
    )


def test_excludes_of_a_huge_matrix_are_counted() -> None:
    a, b, kinds, c = 10**6, 10**6 + 1, 2, 50_000
    first = b * kinds
    second = a * c
    both = 1  # a = 123456, c = 7, b = 0.5, kind = odd
    third = kinds
    assert len(big()) == a * b * kinds * c - (first + second - both) - third


def test_indices_of_a_huge_matrix_are_dense_and_ordered() -> None:
    space = big()
    assert space[0] == {"a": 0, "b": 0.0, "kind": "odd", "c": 0}
    before = 500_000 * 2 * 50_000
    assert space[before - 1] == {"a": 0, "b": 0.499999, "kind": "all", "c": 49_999}
    assert space[before] == {"a": 0, "b": 0.5, "kind": "all", "c": 0}
    assert space[len(space) - 1] == {"a": 999_999, "b": 1.0, "kind": "all", "c": 49_999}
    first_of_gap = 123_456 * (len_of_a() - 0) - 2
    assert space[first_of_gap + 6]["c"] == 6
    assert space[first_of_gap + 7]["c"] == 8


def len_of_a() -> int:
    """Points below one ordinary value of ``a``."""
    return (10**6 + 1) * 2 * 50_000 - 50_000


def test_consecutive_points_agree_with_single_ones_deep_inside() -> None:
    space = big()
    for start in (0, 500_000 * 2 * 50_000 - 3, 123_456 * len_of_a() - 5, len(space) - 20):
        assert list(space.points(start, start + 20)) == [space[start + i] for i in range(20)]


LARGE: list[Callable[[], Space]] = [
    big,
    lambda: counted(TRILLION, [{"index": i * 10**9} for i in range(500)]),
    lambda: matrix(
        {"x": spread_range([10**9]), "y": spread_range([10**9 * 9])},
        [{"x": i, "y": i} for i in range(300)],
    ),
    lambda: zipped(
        {"x": spread_range([TRILLION]), "y": spread_linear([3, 3, TRILLION])}, [{"x": 4}]
    ),
]


@pytest.mark.parametrize("make", LARGE)
def test_nothing_is_expanded(make: Callable[[], Space]) -> None:
    make()
    tracemalloc.start()
    try:
        space = from_document(make().to_document())
        length = len(space)
        assert length > 10**11
        for index in (0, length // 3, length - 1):
            assert space[index] == next(space.points(index, index + 1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_work_grows_with_names_and_excludes_but_not_with_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0
    original = Integers.at

    def counted_at(self: Integers, position: int) -> int:
        nonlocal calls
        calls += 1
        return original(self, position)

    monkeypatch.setattr(Integers, "at", counted_at)
    names = [f"n{i}" for i in range(6)]
    space = matrix(
        {name: spread_range([1000]) for name in names},
        [{"n0": 1, "n5": 2}, {"n1": 3}, {"n2": 4, "n3": 5}],
    )
    calls = 0
    assert set(space[len(space) // 2]) == set(names)
    assert calls == 6


def test_many_excludes_of_many_names_share_their_counts() -> None:
    excludes = [{f"n{i % 10}": i % 7, f"n{(i + 1) % 10}": i % 5} for i in range(40)]
    space = matrix({f"n{i}": spread_range([50]) for i in range(10)}, excludes)
    point = space[len(space) // 2]
    assert not any(all(point[n] == v for n, v in exclude.items()) for exclude in excludes)


def test_excludes_that_cannot_be_counted_are_refused_in_bounded_work() -> None:
    names = [f"n{i}" for i in range(40)]
    tangled = [{names[i]: 1, names[39 - i]: 1} for i in range(20)]
    with pytest.raises(SpaceError, match="overlap in too many ways"):
        matrix({name: spread_range([2]) for name in names}, tangled)


def test_the_bound_on_places_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.batch.counting.MAX_PLACES", 5)
    values = [spread_range([10]), spread_range([10])]
    few = [{0: i, 1: i} for i in range(4)]
    assert Counting(values, [10, 1], few).total == 96
    with pytest.raises(SpaceError, match="overlap"):
        Counting(values, [10, 1], [{0: i, 1: i} for i in range(8)])


def test_the_bound_on_work_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.batch.counting.MAX_WORK", 200)
    values = [Literal(["a", "b"] * 500)]
    assert Counting(values, [1], [{0: "c"}]).total == 1000
    with pytest.raises(SpaceError, match="overlap"):
        Counting(values, [1], [{0: "a"}])


def test_slots_import_neither_pydantic_nor_yaml() -> None:
    code = (
        "import sys, farm.batch.space, farm.batch.values, farm.batch.command, farm.batch.spec;"
        "print([m for m in ('pydantic', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
