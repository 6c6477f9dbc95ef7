"""How quickly a stretch went, from looks now and then."""

from __future__ import annotations

import pytest

from benchmarks.progress import rate_between

LOOKS = [(0.0, 0), (1.0, 0), (2.0, 100), (6.0, 300)]


@pytest.mark.parametrize(
    ("first", "last", "rate"),
    [(0, 100, 50), (50, 100, 100), (100, 300, 50), (200, 300, 50), (0, 300, 50)],
)
def test_between_looks_progress_is_even(first: float, last: float, rate: float) -> None:
    assert rate_between(LOOKS, first, last) == pytest.approx(rate)


def test_what_was_never_done_has_no_rate() -> None:
    with pytest.raises(ValueError, match="301 was never reached"):
        rate_between(LOOKS, 0, 301)


def test_what_took_no_time_has_no_rate() -> None:
    with pytest.raises(ValueError, match="no time"):
        rate_between([(0.0, 5)], 1, 4)
