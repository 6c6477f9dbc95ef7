"""How long one goes on who was in before and is refused when it connects again."""

from __future__ import annotations

import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import NotAuthorisedError, ProtocolError
from farm.server.ledger import SILENT_SECONDS
from farm.wire.greeting import LONGEST_PAUSE, REFUSED_SECONDS, Reprieve, greet, pause_before

ERROR = NotAuthorisedError("the server at node7:7077 does not accept this key")
LOG = logging.getLogger("farm.worker")


def test_it_lasts_as_long_as_a_silent_node_keeps_its_leases():
    assert REFUSED_SECONDS == SILENT_SECONDS


def test_it_begins_with_the_first_refusal_and_is_told_once(caplog):
    reprieve = Reprieve()
    assert [reprieve.holds(ERROR, now, LOG) for now in (5.0, 14.9, 15.0, 99.0)] == [
        True, True, False, False
    ]  # fmt: skip
    assert caplog.record_tuples == [
        ("farm.worker", logging.WARNING,
         f"refused, trying for 10 s in case the right key or certificate comes: {ERROR}")
    ]  # fmt: skip


@pytest.mark.parametrize(("now", "left"), [(5.0, 10.0), (14.5, 0.5), (15.0, math.inf)])
def test_the_last_attempt_is_made_when_it_is_over_and_none_follows_without_a_pause(now, left):
    reprieve = Reprieve()
    assert reprieve.left(now) == math.inf
    reprieve.holds(ERROR, 5.0, LOG)
    assert reprieve.left(now) == left


@given(st.integers(0, 30), st.floats(0.0, 1e6))
def test_there_are_several_attempts_and_the_last_one_is_in_time(attempt, now):
    reprieve, begin, attempts = Reprieve(), now, 0
    while reprieve.holds(ERROR, now, LOG):
        now += min(pause_before(attempt), reprieve.left(now))
        attempt, attempts = attempt + 1, attempts + 1
    assert attempts >= REFUSED_SECONDS / LONGEST_PAUSE
    assert now - begin == pytest.approx(REFUSED_SECONDS, abs=1e-3)


def test_an_attempt_that_failed_for_another_reason_begins_it_anew():
    reprieve = Reprieve()
    assert reprieve.holds(ERROR, 5.0, LOG)
    reprieve.forget()
    assert reprieve.left(16.0) == math.inf
    assert reprieve.holds(ERROR, 16.0, LOG)
    assert not reprieve.holds(ERROR, 26.0, LOG)


def test_a_connection_that_breaks_in_the_greeting_is_one_that_did_not_answer():
    """Whoever connects again goes on trying then."""

    class Broken:
        def write(self, _: bytes) -> None:
            raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(ProtocolError, match="did not answer the greeting"):
        greet(Broken())
