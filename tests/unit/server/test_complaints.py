"""What the log says of peers that misbehave: a few lines each, and a count of the rest."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.server import complaints as module
from farm.server.complaints import MAX_ADDRESSES, PER_MINUTE, Complaints

HOST, PEER = "192.0.2.7", "192.0.2.7:4711"


@pytest.fixture
def complaints():
    return Complaints()


@pytest.fixture
def lines(caplog):
    """What was logged since the last look."""
    caplog.set_level(logging.INFO, "farm.server")

    def look() -> list[str]:
        assert {(r.name, r.levelno) for r in caplog.records} <= {("farm.server", logging.WARNING)}
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    return look


def tell(complaints, times, *, now, host=HOST):
    for number in range(times):
        complaints.tell(host, f"{host}:{number}", f"refused: {number}", now)


def test_a_line_names_the_peer_and_what_it_did(complaints, lines):
    complaints.tell(HOST, PEER, "refused: it shows no certificate", 0.0)
    assert lines() == ["192.0.2.7:4711: refused: it shows no certificate"]


def test_whatever_a_peer_sent_is_one_printable_line(complaints, lines):
    complaints.tell(HOST, PEER, "refused: \x1b[2J\r\n2026 ERROR forged" + "x" * 5000, 0.0)
    (line,) = lines()
    assert line.isprintable()
    assert line.startswith("192.0.2.7:4711: refused: \\x1b[2J\\r\\n2026 ERROR forgedxxx")
    assert len(line) < 600


def test_of_very_many_a_few_are_shown_and_all_are_counted(complaints, lines):
    tell(complaints, 5000, now=3.0)
    found = lines()
    assert found[:PER_MINUTE] == [f"{HOST}:{n}: refused: {n}" for n in range(PER_MINUTE)]
    assert found[PER_MINUTE:] == [f"{HOST}: more of this kind; it is counted for a minute"]
    complaints.sweep(62.9)
    assert lines() == []
    complaints.sweep(63.0)
    assert lines() == [f"{HOST}: 5000 of this kind within a minute"]
    complaints.sweep(200.0)
    assert lines() == []


def test_the_next_minute_begins_anew(complaints, lines):
    tell(complaints, 100, now=0.0)
    lines()
    tell(complaints, 1, now=60.0)  # before anybody has swept
    assert lines() == [f"{HOST}: 100 of this kind within a minute", f"{HOST}:0: refused: 0"]


def test_what_was_shown_is_not_counted_out(complaints, lines):
    tell(complaints, PER_MINUTE, now=0.0)
    lines()
    complaints.sweep(60.0)
    assert lines() == []


def test_each_address_has_its_own_lines(complaints, lines):
    tell(complaints, 1000, now=0.0)
    lines()
    tell(complaints, 3, now=1.0, host="192.0.2.8")
    assert len(lines()) == 3


def test_no_more_than_so_many_addresses_are_kept(complaints, lines):
    tell(complaints, PER_MINUTE + 5, now=0.0, host="first")
    lines()
    for number in range(MAX_ADDRESSES + 10):
        complaints.tell(f"host{number}", "p", "refused", 1.0)
    assert len(complaints._minutes) == MAX_ADDRESSES
    assert f"first: {PER_MINUTE + 5} of this kind within a minute" in lines()


def test_who_is_complained_of_all_the_time_is_not_forgotten_for_others(complaints, lines):
    for number in range(MAX_ADDRESSES + 10):
        complaints.tell("always", "p", "refused", 0.0)
        complaints.tell(f"host{number}", "p", "refused", 0.0)
    complaints.sweep(60.0)
    assert f"always: {MAX_ADDRESSES + 10} of this kind within a minute" in lines()


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(0.0, 20.0)), max_size=150),
    st.booleans(),
)
def test_no_address_has_more_than_its_lines_a_minute_and_none_is_lost(told, sweeps):
    shown: list[tuple[float, str]] = []
    counts = {"a": 0, "b": 0}

    class Log:
        @staticmethod
        def log(level, text, *values):
            assert level == logging.WARNING
            if "within a minute" in text:
                counts[values[0]] += values[1] - PER_MINUTE
            elif "counted" not in text:
                shown.append((now, values[0]))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "log", Log)
        complaints, now = Complaints(), 0.0
        for host, later in told:
            now += later
            if sweeps:
                complaints.sweep(now)
            complaints.tell(host, host, "refused", now)
        for host in "ab":
            times = [at for at, peer in shown if peer == host]
            assert all(b - a >= 59.9 for a, b in zip(times, times[2 * PER_MINUTE :], strict=False))
        complaints.sweep(now + 60.0)
    assert {host: counts[host] + sum(p == host for _, p in shown) for host in "ab"} == {
        host: sum(peer == host for peer, _ in told) for host in "ab"
    }
