"""For how long globals last that functions of a program change: README says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import farm_tasks as tasks
import pytest

from farm.client.pool import SessionPool

PROGRAM = """
N = 10
def count(_):
    global N
    N += 1
    return N
"""


@pytest.fixture
def pool(server, node) -> Iterator[SessionPool]:
    """On one process."""
    node("n1", 1)
    with SessionPool(server.session()) as made:
        yield made


@pytest.fixture
def count() -> Callable[[Any], int]:
    """As a program's own function, which travels by value."""
    main: dict[str, Any] = {"__name__": "__main__"}
    exec(PROGRAM, main)
    return main["count"]


def test_those_of_what_travels_by_value_last_for_one_map(pool, count):
    for _ in range(2):
        assert pool.map(count, range(3)) == [11, 12, 13]
    assert list(pool.imap(count, range(3))) == [11, 12, 13]
    assert count(0) == 11, "here they are others"
    assert pool.map(count, range(2)) == [12, 13], "as they are when they are sent"


def test_and_for_one_single_call(pool, count):
    assert [pool.apply(count, (0,)) for _ in range(3)] == [11, 11, 11]
    together = [pool.apply_async(count, (0,)) for _ in range(3)]
    assert [one.get() for one in together] == [11, 11, 11]


def test_those_of_modules_last_as_long_as_their_process(pool):
    first = pool.apply(tasks.count_calls)
    assert pool.map(tasks.count_calls, [None] * 2) == [first + 1, first + 2]
    assert pool.apply(tasks.count_calls) == first + 3
