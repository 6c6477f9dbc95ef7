"""Connections that are moved by hand, and what a server logs of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
from fake_transport import Server
from farm_service import Clock


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


@pytest.fixture
def by_hand(clock) -> Callable[..., Server]:
    return lambda **options: Server(clock, **options)


@pytest.fixture
def lines(caplog) -> Callable[[], list[str]]:
    """What the server logs, without the addresses."""
    caplog.set_level(logging.WARNING, "farm.server")
    return lambda: [record.getMessage().partition(": ")[2] for record in caplog.records]
