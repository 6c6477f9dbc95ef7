"""What a refusal repeats of a request is short, however long the request was."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm_service import World

from farm.wire.controls import DrainNode, Pause
from farm.wire.leases import GetCode
from farm.wire.messages import Cancel, GetStatus, Message

LONG = "z" * 1_000_000


@pytest.mark.parametrize(
    "request_", [GetCode(LONG), GetStatus(LONG), Cancel(LONG), Pause(LONG), DrainNode(LONG)],
    ids=lambda made: type(made).__name__,
)  # fmt: skip
def test_a_refusal_is_short(tmp_path: Path, request_: Message) -> None:
    refusal = World(tmp_path / "data").ask(request_)

    assert "zzz" in refusal.text
    assert len(refusal.text) < 1000
