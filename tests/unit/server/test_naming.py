"""Names of nodes: none twice, the lowest number that is free, and no slower for being many."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from farm.server.naming import MAX_NAME, Names

COPIES = 20_000
SECONDS = 2.0
"""For all copies. If each tried the numbers of those before it, it would take a minute."""


class Simple:
    """What `Names` is to do, by looking at all numbers each time."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def take(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self.taken:
            number += 1
            name = f"{wanted}-{number}"
        self.taken.add(name)
        return name


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from(["a", "a-2", "a-2-2", "a-02", "b", "-3", ""])),
        st.tuples(st.just("free"), st.integers(0, 30)),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_lowest_free_number_is_given_whoever_came_and_went(steps) -> None:
    names, simple = Names(), Simple()
    for step, what in steps:
        if step == "take":
            assert names.take(what) == simple.take(what)
        elif simple.taken:
            gone = sorted(simple.taken)[what % len(simple.taken)]
            simple.taken.discard(gone)
            names.free(gone)


def test_a_name_that_came_with_the_journal_is_taken() -> None:
    names = Names()
    names.add("node")
    assert names.take("node") == "node-2"


def test_with_its_number_a_long_name_is_no_longer_than_one_may_be() -> None:
    names, long = Names(), "x" * MAX_NAME
    given = [names.take(long) for _ in range(1_000)]
    assert len(set(given)) == 1_000
    assert given[0] == long
    assert max(map(len, given)) == MAX_NAME
    names.free(given[1])
    assert names.take(long) == given[1]


def test_many_of_one_name_do_not_take_longer_each() -> None:
    names, began = Names(), time.monotonic()
    for _ in range(COPIES):
        names.take("node")
    assert time.monotonic() - began < SECONDS


def test_nothing_is_kept_of_names_that_nobody_has() -> None:
    names = Names()
    for name in [names.take("node") for _ in range(3)]:
        names.free(name)
    assert not names._taken
    assert not names._next
