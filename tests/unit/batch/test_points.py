"""Points by name, packed and read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.points import Points, pack

NAMES = st.sampled_from(["x", "y", "z"])
SAME = st.sets(NAMES).flatmap(
    lambda names: st.lists(
        st.fixed_dictionaries({name: st.integers() for name in names}), min_size=1, max_size=6
    )
)
ANY = st.lists(st.dictionaries(NAMES, st.integers()), min_size=1, max_size=6)


@given(SAME | ANY, st.integers(0, 100), st.data())
def test_what_is_packed_is_what_is_read(points, first, data):
    made = Points(pack(points), first)
    assert len(made) == len(points)
    assert [made[first + at] for at in range(len(points))] == points
    start = data.draw(st.integers(0, len(points)))
    stop = data.draw(st.integers(start, len(points)))
    assert list(made.points(first + start, first + stop)) == points[start:stop]
    if made.is_table:
        order = data.draw(st.permutations(made.names))
        rows = [tuple(point[name] for name in order) for point in points[start:stop]]
        found = list(made.rows(first + start, first + stop, order))
        assert found == (rows if len(order) > 1 else [row[0] for row in rows])


@given(SAME)
def test_points_of_the_same_names_become_columns(points):
    made = Points(pack(points))
    assert made.is_table == bool(points[0])
    assert set(made.names) == set(points[0])


@pytest.mark.parametrize(
    "wrong", [7, "text", None, ((), []), (("x",), []), (("x", "y"), [[1]]), (("x",), ([1],))]
)
def test_what_is_something_else_is_refused(wrong):
    with pytest.raises(ValueError, match="does not hold points by name"):
        Points(wrong)


def test_of_columns_that_differ_there_are_as_many_as_of_the_shortest():
    assert len(Points((("x", "y"), [[1, 2, 3], [1]]))) == 1
