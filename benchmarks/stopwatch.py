"""Rates and latencies of calls."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.case import Measured, WrongError
from benchmarks.quantile import percentile


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def rate_of_sum(count: int, run: Callable[[int], int]) -> float:
    """Tasks a second of ``run(count)``, which gives the sum of what `tasks.inc` made of 0 to count.

    Raises:
        WrongError: it is another sum.
    """
    began = time.perf_counter()
    total = run(count)
    seconds = time.perf_counter() - began
    if total != count * (count + 1) // 2:
        raise WrongError(f"the results of {count:,} tasks add up to {total:,}")
    return count / seconds


def latencies(count: int, call: Callable[[int], int]) -> Measured:
    """Milliseconds of so many calls one after another, each of `tasks.inc` with its number.

    Raises:
        WrongError: a call gave something else.
    """
    taken = []
    for index in range(count):
        began = time.perf_counter()
        value = call(index)
        taken.append(time.perf_counter() - began)
        if value != index + 1:
            raise WrongError(f"task {index} gave {value!r}")
    return in_milliseconds(taken)


def in_milliseconds(seconds: list[float]) -> Measured:
    """Median and 99th percentile of some latencies."""
    return {"p50": 1e3 * percentile(seconds, 0.5), "p99": 1e3 * percentile(seconds, 0.99)}
