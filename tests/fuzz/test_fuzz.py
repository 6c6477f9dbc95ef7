"""A short fuzz run against a live server: it stays up, small and quick for everybody else.

FARM_FUZZ_SEED chooses other frames; `scripts/fuzz` sends many more.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fuzz.run import run

SEED = int(os.environ.get("FARM_FUZZ_SEED", "1"))
FRAMES = 20_000


@pytest.mark.timeout(240)
def test_a_server_withstands_what_nobody_should_send(tmp_path: Path) -> None:
    report = run(tmp_path, SEED, FRAMES)

    print(report.text())
    assert not report.problems, report.text()
    assert report.frames >= FRAMES
