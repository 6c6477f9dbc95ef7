"""Requests that are refused for the moment: which are sent again, when, and when they are not."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from farm.batch.spec import Options
from farm.client import putoff as module
from farm.client.putoff import PutOff
from farm.wire.controls import Forget
from farm.wire.messages import (
    Append,
    Cancel,
    Done,
    GetNodes,
    GetOutcomes,
    Message,
    Refused,
    Submit,
)

BUSY, EARLY = Refused("busy", "too many wait"), Refused("early", "the next block begins at 0")
STALLED = Refused("journal", "no space left on device")
APPEND = Append(1, [], False)
FOLLOW = GetOutcomes(1, 0, follow=True)


SUBMIT = Submit("t", "b", 1, Options(), b"")


def seconds_sent_again(
    request: Message, refusal: Refused, most: float, *, awaited: bool = True
) -> list[float]:
    """When a request is sent that is always refused, for so many seconds at most."""
    put_off, now, sent = PutOff(), 0.0, [0.0]
    while now < most and put_off.takes(7, request, refusal, now, awaited=awaited):
        now += put_off.seconds(now, most)
        assert list(put_off.due(now)) == [7]
        sent.append(now)
    return sent


@pytest.mark.parametrize("refusal", [BUSY, EARLY])
@pytest.mark.parametrize("request_", [GetNodes(), APPEND, GetOutcomes(1, 0)])
def test_what_is_busy_is_sent_again_for_half_a_minute(request_, refusal):
    sent = seconds_sent_again(request_, refusal, 1e6)
    assert sent[-1] == pytest.approx(module.BUSY_SECONDS, abs=2 * module.BUSY_PAUSE)
    assert len(sent) == pytest.approx(module.BUSY_SECONDS / module.BUSY_PAUSE, abs=2)


def test_who_follows_a_batch_has_his_turn_however_late_it_comes():
    sent = seconds_sent_again(FOLLOW, BUSY, 1e5)
    assert sent[-1] >= 1e5
    pauses = [after - before for before, after in itertools.pairwise(sent[:-1])]
    assert pauses[:6] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0])
    assert pauses[6:] == pytest.approx([module.LONGEST_PAUSE] * len(pauses[6:]))


@pytest.mark.parametrize(
    ("request_", "awaited"),
    [(APPEND, True), (APPEND, False), (SUBMIT, False), (Cancel("1"), False), (Forget(1), False)],
)
def test_what_has_time_waits_some_minutes_for_a_journal(caplog, request_, awaited):
    sent = seconds_sent_again(request_, STALLED, 1e6, awaited=awaited)
    assert sent[-1] == pytest.approx(module.JOURNAL_SECONDS, abs=2 * module.LONGEST_PAUSE)
    assert [record.getMessage() for record in caplog.records] == [
        "trying again for 300 s at most: no space left on device"
    ]


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (GetNodes(), Done()),
        (GetNodes(), STALLED),
        (SUBMIT, STALLED),
        (Cancel("1"), STALLED),
        (Forget(1), STALLED),
        (FOLLOW, STALLED),
        (FOLLOW, Refused("unknown-batch", "there is no batch 1")),
        (APPEND, Refused("closed", "batch 1 takes no more")),
        (None, BUSY),
    ],
)  # fmt: skip
def test_all_else_is_an_answer(request_: Any, body):
    put_off = PutOff()
    assert not put_off.takes(7, request_, body, 0.0)
    assert not put_off


def test_they_keep_their_order():
    """Requests of which one needs the other: the server refuses those that overtook it."""
    put_off = PutOff()
    for number in (3, 1, 2):
        assert put_off.takes(number, APPEND, EARLY, 10.0)
    assert list(put_off.due(10.0)) == []
    assert put_off.seconds(10.0, 60.0) == pytest.approx(module.BUSY_PAUSE)
    assert list(put_off.due(11.0)) == [3, 1, 2]
    assert put_off.seconds(11.0, 60.0) == 60.0


def test_who_waits_for_long_keeps_nobody_waiting():
    put_off = PutOff()
    for now in (0.0, 1.0, 2.0, 3.0):
        assert put_off.takes(1, FOLLOW, BUSY, now)
        list(put_off.due(now + module.LONGEST_PAUSE))
    assert put_off.takes(1, FOLLOW, BUSY, 10.0)
    assert put_off.takes(2, GetNodes(), BUSY, 10.0)
    assert list(put_off.due(10.0 + module.BUSY_PAUSE)) == [2]


def test_one_that_a_journal_kept_waiting_may_still_come_too_early():
    """What goes before it is sent again a moment later, when the journal can be written."""
    put_off = PutOff()
    assert put_off.takes(1, APPEND, STALLED, 0.0)
    assert put_off.takes(1, APPEND, EARLY, module.BUSY_SECONDS + 60.0)
    assert not put_off.takes(1, APPEND, EARLY, module.JOURNAL_SECONDS + 1.0), "that has a bound"


def test_each_time_that_the_journal_stalls_is_told_once(caplog):
    put_off = PutOff()
    for now in (0.0, 10.0):
        for number in (1, 2):
            assert put_off.takes(number, APPEND, STALLED, now)
            assert put_off.takes(number, APPEND, STALLED, now + 1.0)
        for number in (1, 2):
            assert not put_off.takes(number, APPEND, Done(), now + 2.0)
    assert len(caplog.records) == 2


def test_a_new_connection_knows_of_no_refusals():
    put_off = PutOff()
    assert put_off.takes(1, GetNodes(), BUSY, 0.0)
    put_off.clear()
    assert not put_off
    assert put_off.takes(1, GetNodes(), BUSY, module.BUSY_SECONDS + 15.0)
