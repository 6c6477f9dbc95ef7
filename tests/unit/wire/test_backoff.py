"""For how long one waits before it connects again."""

from __future__ import annotations

import pytest

from farm.wire import greeting
from farm.wire.greeting import USEFUL_SECONDS, Backoff


@pytest.fixture
def backoff(monkeypatch: pytest.MonkeyPatch) -> Backoff:
    monkeypatch.setattr(greeting, "pause_before", float)
    return Backoff()


def test_pauses_grow_from_attempt_to_attempt(backoff):
    assert [backoff.pause() for _ in range(4)] == [0, 1, 2, 3]


def test_connections_that_are_dropped_at_once_change_nothing(backoff):
    for attempt in range(4):
        assert backoff.pause() == attempt
        backoff.connected(100.0 + attempt)
        backoff.lost(100.0 + attempt + USEFUL_SECONDS - 0.1)


def test_after_one_that_lasted_they_begin_anew(backoff):
    assert [backoff.pause() for _ in range(3)] == [0, 1, 2]
    backoff.connected(100.0)
    backoff.lost(100.0 + USEFUL_SECONDS)
    assert backoff.pause() == 0


def test_after_one_that_was_of_use_they_begin_anew(backoff):
    assert [backoff.pause() for _ in range(3)] == [0, 1, 2]
    backoff.connected(100.0)
    backoff.was_of_use()
    backoff.lost(100.1)
    assert backoff.pause() == 0
