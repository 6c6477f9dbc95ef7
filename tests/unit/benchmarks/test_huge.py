"""What the largest batch is watched for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.case import WrongError
from benchmarks.cases.huge import _watched


def watched(done: list[int], kept: list[float]) -> tuple[Any, float]:
    statuses = iter(SimpleNamespace(done=one, over=one == done[-1]) for one in done)
    held = iter(kept)
    batch = SimpleNamespace(status=lambda _: next(statuses))
    cluster = SimpleNamespace(megabytes_kept=lambda: next(held))
    return _watched(cast(Any, batch), 100, 0.0, cast(Any, cluster))


def test_what_was_kept_at_most_is_not_what_is_left_at_the_end() -> None:
    looks, kept = watched([0, 50, 100], [1.0, 9.0, 2.0])

    assert [done for _, done in looks] == [0, 0, 50, 100]
    assert kept == 9.0


def test_all_of_it_must_be_done() -> None:
    with pytest.raises(WrongError, match="99 of 100 tasks are done"):
        watched([99], [1.0])
