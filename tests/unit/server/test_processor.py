"""What the server's loop asks of a processor."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from farm.server.processor import demand


def test_what_it_waited_for_counts_as_well(tmp_path: Path) -> None:
    counted = tmp_path / "schedstat"
    counted.write_text("1500000000 2000000000 17\n")
    assert demand(counted) == pytest.approx(3.5)


@pytest.mark.parametrize("text", [None, "", "none\n", "1 2 3 4\n"])
def test_where_that_is_not_counted_it_is_what_it_used(tmp_path: Path, text: str | None) -> None:
    counted = tmp_path / "schedstat"
    if text is not None:
        counted.write_text(text)
    before = time.thread_time()
    assert before <= demand(counted) <= time.thread_time()
