"""A line of the log is one line, whatever a peer has put into it."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator

import pytest

from farm.cli import logs


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the log has written."""
    stream, logger = io.StringIO(), logging.getLogger("farm")
    before = logger.handlers[:], logger.level
    monkeypatch.setattr(sys, "stderr", stream)
    logs.set_up(0)
    yield stream
    logger.handlers[:] = before[0]
    logger.setLevel(before[1])


def test_nothing_in_a_record_is_obeyed(written: io.StringIO) -> None:
    logging.getLogger("farm.x").warning("refused: %s", "\x1b[2J\x9b31m\r\n2026 ERROR forged")
    first, second, end = written.getvalue().split("\n")
    assert first.endswith("WARNING refused: \\x1b[2J\\x9b31m\\r")
    assert (second, end) == ("    2026 ERROR forged", "")


def test_a_traceback_is_set_in(written: io.StringIO) -> None:
    try:
        raise ValueError("\x1b]0;owned\x07\n2026 ERROR forged")
    except ValueError:
        logging.getLogger("farm.x").exception("a step failed")
    head, *rest = written.getvalue().rstrip("\n").split("\n")
    assert head.endswith("ERROR   a step failed")
    assert all(line.startswith("    ") for line in rest)
    assert "    ValueError: \\x1b]0;owned\\x07" in rest
