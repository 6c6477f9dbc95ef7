"""Percentiles and medians of what was measured (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all do not exceed (nearest rank).

    Args:
        values: in any order, at least one.
        share: above 0, at most 1.

    Raises:
        ValueError: there are no values, or the share is none.

    Example:
        >>> percentile([5, 1, 4, 2, 3], 0.5)
        3
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    # Rounded first: 0.07 * 100 is a little more than 7.
    return sorted(values)[math.ceil(round(share * len(values), 9)) - 1]
