"""The primes batch counts what is known."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


@pytest.fixture
def primes(load: Load) -> ModuleType:
    return load("primes.py")


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, 0), (2, 0), (3, 1), (10, 4), (100, 25), (1_000, 168), (20_000, 2_262), (100_000, 9_592)],
)
def test_counts_of_primes_below_known_limits(primes: ModuleType, size: int, expected: int) -> None:
    assert primes.count(0, "all", size) == expected


def test_blocks_add_up(primes: ModuleType) -> None:
    assert sum(primes.count(start, "all") for start in range(0, 100_000, 20_000)) == 9_592


def test_odd_differs_from_all_by_the_prime_two_alone(primes: ModuleType) -> None:
    assert primes.count(0, "odd") == primes.count(0, "all") - 1
    assert primes.count(20_000, "odd") == primes.count(20_000, "all") > 0


def test_an_even_and_an_odd_start_agree_about_the_numbers_between(primes: ModuleType) -> None:
    for start in (30, 31):
        assert primes.count(start, "odd", 10) == primes.count(start, "all", 10) == 2


def test_a_square_of_a_prime_is_not_prime(primes: ModuleType) -> None:
    assert primes.count(1_369, "all", 1) == 0  # 37 * 37, the limit of the divisors
    assert primes.count(1_373, "all", 1) == 1


def test_an_unknown_kind_is_refused_with_what_to_write(primes: ModuleType) -> None:
    with pytest.raises(ValueError, match="kind is 'even'; write 'odd' or 'all'"):
        primes.count(0, "even")


@pytest.mark.parametrize("limit", [-1, 0, 1, 2, 3, 4, 25, 120, 121, 122])
def test_the_sieve_agrees_with_the_definition(primes: ModuleType, limit: int) -> None:
    by_definition = [n for n in range(2, limit + 1) if all(n % d for d in range(2, n))]
    assert list(primes.primes_up_to(limit)) == by_definition
