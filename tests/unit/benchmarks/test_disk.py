"""The rate at which a disk takes what is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import disk


def test_it_is_flushed_within_the_time_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    now = [0.0]

    def synced(descriptor: int) -> None:
        seen.append(os.fstat(descriptor).st_size)
        now[0] += 2.0

    monkeypatch.setattr("os.fdatasync", synced)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    rate = disk.write_rate(tmp_path, 4)

    assert seen == [4 << 20]
    assert rate == pytest.approx((4 << 20) / 2.0 / 1e6)
    assert not list(tmp_path.iterdir())
