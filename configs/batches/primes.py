"""Count primes by trial division: a sweep that is bound by the CPU alone.

Shipped to nodes with `primes.yaml`; only the standard library is used.
"""

from __future__ import annotations

from functools import cache
from math import isqrt


def count(start: int, kind: str, size: int = 20_000) -> int:
    """Count the primes in ``[start, start + size)``.

    Args:
        start: first candidate, at least 0.
        kind: ``all`` tries every candidate; ``odd`` skips the even ones in half the time, and so
            misses the prime 2.
        size: how many consecutive numbers to look at.

    Raises:
        ValueError: ``kind`` is neither ``odd`` nor ``all``.

    Example:
        >>> count(start=0, kind="all", size=10)  # 2, 3, 5, 7
        4
    """
    if kind not in ("odd", "all"):
        raise ValueError(f"kind is {kind!r}; write 'odd' or 'all'")
    stop = start + size
    divisors = primes_up_to(isqrt(max(stop - 1, 0)))
    candidates = range(start | 1, stop, 2) if kind == "odd" else range(start, stop)
    return sum(is_prime(candidate, divisors) for candidate in candidates)


def is_prime(candidate: int, divisors: tuple[int, ...]) -> bool:
    """Tell whether no divisor divides the candidate.

    Args:
        candidate: the number to test, at least 0.
        divisors: every prime up to the candidate's square root, ascending; more do no harm.
    """
    if candidate < 2:
        return False
    for divisor in divisors:
        if divisor * divisor > candidate:
            return True
        if candidate % divisor == 0:
            return False
    return True


@cache  # bounded: a slot sees as many limits as its batch has values of `start`
def primes_up_to(limit: int) -> tuple[int, ...]:
    """List the primes up to and including ``limit`` (the sieve of Eratosthenes)."""
    if limit < 2:
        return ()
    prime = bytearray([1]) * (limit + 1)
    prime[0] = prime[1] = 0
    for number in range(2, isqrt(limit) + 1):
        if prime[number]:
            prime[number * number :: number] = bytes(len(range(number * number, limit + 1, number)))
    return tuple(number for number in range(limit + 1) if prime[number])
