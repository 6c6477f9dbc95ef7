"""When what is in memory is left out of collections."""

from __future__ import annotations

import doctest
import itertools

from farm.server import garbage
from farm.server.garbage import CHANGES, LEAST_SECONDS, QUIET, Settling


def test_the_example_of_its_documentation() -> None:
    assert doctest.testmod(garbage).failed == 0


def test_it_waits_until_nobody_comes_any_more() -> None:
    settling = Settling(-LEAST_SECONDS)
    coming = [settling.due(number * (QUIET + 1), number) for number in range(1, 200)]
    assert not any(coming)
    assert settling.due(199 * (QUIET + 1), 200.0)


def test_few_changes_are_not_worth_it() -> None:
    settling = Settling(-LEAST_SECONDS)
    assert not any(settling.due(CHANGES - 1, now) for now in range(10))


def test_it_is_not_done_again_and_again() -> None:
    settling = Settling(0.0)
    looks = range(1, 10 * int(LEAST_SECONDS))
    done = [now for now in looks if settling.due(now // 10 * CHANGES, float(now))]
    assert 8 <= len(done) <= 10
    assert all(after - before >= LEAST_SECONDS for before, after in itertools.pairwise(done))
