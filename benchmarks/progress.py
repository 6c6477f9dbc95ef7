"""How quickly a stretch of something went, from looks at it now and then (pure)."""

from __future__ import annotations

from collections.abc import Sequence

Look = tuple[float, float]
"""When, in seconds, and how much was done by then."""


def rate_between(looks: Sequence[Look], first: float, last: float) -> float:
    """How much was done a second, from the moment ``first`` was done until ``last`` was.

    Args:
        looks: in order; in between, progress is taken to be even.
        first, last: amounts, within those of the looks.

    Raises:
        ValueError: the looks do not reach from the one to the other.

    Example:
        >>> rate_between([(0, 0), (1, 100), (3, 200)], 100, 200)
        50.0
    """
    seconds = _moment(looks, last) - _moment(looks, first)
    if seconds <= 0:
        raise ValueError(f"no time has passed between {first:,} and {last:,}")
    return (last - first) / seconds


def _moment(looks: Sequence[Look], amount: float) -> float:
    """When that much was done."""
    earlier: Look | None = None
    for when, done in looks:
        if done >= amount:
            if earlier is None or done == earlier[1]:
                return when
            share = (amount - earlier[1]) / (done - earlier[1])
            return earlier[0] + share * (when - earlier[0])
        earlier = (when, done)
    raise ValueError(f"{amount:,} was never reached")
