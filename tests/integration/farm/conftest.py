"""What several of these tests need: a server that does not wait long for a node."""

from __future__ import annotations

import pytest

from farm.server import ledger, nodes


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes beat often, and are given up soon."""
    monkeypatch.setattr(ledger, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(nodes, "BEAT_SECONDS", 0.2)
