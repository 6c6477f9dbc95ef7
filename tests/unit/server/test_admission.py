"""The account of a server's connections: who may stay, and who goes for the sake of others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from farm.limits import Limits
from farm.server.admission import Admission
from farm.server.descriptors import most_connections
from farm.server.door import Pass
from farm.server.networks import network_of


class Caller:
    """A connection, as far as the account goes."""

    def __init__(self, host: str = "192.0.2.1", unsent: int = 0) -> None:
        self.network, self.address = network_of(host), f"{host}:4711"
        self.unsent, self.received, self.kept = unsent, 0, 0
        self.holder: Pass | None = None
        self.cut: list[str] = []
        self.closed = False

    def cut_off(self, why: str) -> None:
        self.cut.append(why)

    def close(self) -> None:
        self.closed = True

    def admitted(self) -> None:
        raise AssertionError("nobody waits here")


class Door:
    """``holds`` is what its files say of passes."""

    holds: Callable[[Pass], bool] = staticmethod(lambda _: True)

    def refresh(self) -> Callable[[Pass], bool]:
        return self.holds


@pytest.fixture
def clock():
    return SimpleNamespace(now=100.0)


@pytest.fixture
def account(clock) -> Callable[..., Any]:
    """An account with these limits."""
    loop = SimpleNamespace(time=lambda: clock.now)
    return lambda **limits: Admission(Limits(**limits), Door(), loop)  # type: ignore[arg-type]


def came(admission: Admission, *callers: Caller, known: bool = False) -> list[Caller]:
    """They come, and stay."""
    for caller in callers:
        assert admission.came(caller) is None
        if known:
            admission.met(caller)
    return list(callers)


def sweep(admission: Admission) -> int:
    """All of a sweep; in how many slices."""
    return sum(1 for _ in admission.sweep())


# -- how many ---------------------------------------------------------------------------------


def test_who_came_is_counted_until_it_goes(account):
    admission = account()
    one, other = came(admission, Caller(), Caller())
    assert admission.connections == {one, other}
    assert admission.unknown == 2
    admission.met(one)
    assert admission.unknown == 1
    admission.went(one)
    admission.went(other)
    assert (admission.connections, admission.unknown) == (frozenset(), 0)


def test_a_server_that_is_full_turns_newcomers_away(account):
    admission = account(max_connections=2)
    one, _ = came(admission, Caller(), Caller(), known=True)
    late = Caller()
    assert admission.came(late) == "it has 2 connections, and takes no more (--max-connections)"
    admission.went(late)  # as its connection closes: it was never counted
    assert len(admission.connections) == 2
    assert admission.came(Caller()) is not None
    admission.went(one)
    assert admission.came(Caller()) is None


def test_strangers_do_not_keep_others_out_of_a_full_server(account):
    admission = account(max_connections=3)
    [known] = came(admission, Caller(), known=True)
    first, second = came(admission, Caller("192.0.2.7"), Caller("192.0.2.7"))
    came(admission, Caller(), known=True)
    assert [len(caller.cut) for caller in (known, first, second)] == [0, 1, 0]
    assert "--max-connections" in first.cut[0]


def test_an_address_has_so_many_connections_and_others_have_theirs(account):
    admission = account(max_per_address=2)
    one, _ = came(admission, Caller("192.0.2.1"), Caller("192.0.2.1"), known=True)
    assert admission.came(Caller("192.0.2.1")) == (
        "it has 2 connections from 192.0.2.1, and takes no more (--max-per-address)"
    )
    came(admission, Caller("192.0.2.2"))
    admission.went(one)
    came(admission, Caller("192.0.2.1"))


def test_of_too_many_strangers_the_oldest_goes(account):
    admission = account(max_unknown=2)
    known, *strangers = came(admission, Caller(), Caller(), known=True)
    strangers += came(admission, Caller(), Caller(), Caller())
    assert [len(caller.cut) for caller in (known, *strangers)] == [0, 0, 1, 0, 0]
    assert strangers[1].cut == ["more than 2 peers are unknown (--max-unknown)"]


def test_an_address_with_very_many_strangers_harms_itself_alone(account):
    admission = account(max_unknown=3)
    (slow,) = came(admission, Caller("192.0.2.7"))
    flood = came(admission, *(Caller("192.0.2.1") for _ in range(50)))
    assert slow.cut == []
    assert [len(caller.cut) for caller in flood] == [1] * 48 + [0] * 2


def test_of_ipv6_a_64_has_so_many_connections(account):
    """Who has one address of it can usually take any other."""
    admission = account(max_per_address=2)
    one, _ = came(admission, Caller("2001:db8::1"), Caller("2001:db8::2"), known=True)
    assert admission.came(Caller("2001:db8::ffff:3")) == (
        "it has 2 connections from 2001:db8::/64, and takes no more (--max-per-address)"
    )
    came(admission, Caller("2001:db8:0:1::1"))
    admission.went(one)
    came(admission, Caller("2001:db8::4"))


def test_strangers_of_one_64_harm_themselves_alone(account):
    admission = account(max_unknown=3)
    (slow,) = came(admission, Caller("2001:db8:0:1::7"))
    flood = came(admission, *(Caller(f"2001:db8::{n:x}") for n in range(50)))
    assert slow.cut == []
    assert [len(caller.cut) for caller in flood] == [1] * 48 + [0] * 2


def test_of_many_strangers_that_come_at_once_each_is_cut_off_once(account):
    """Before the loop has closed a single one of them."""
    admission = account(max_unknown=5)
    strangers = came(admission, *(Caller() for _ in range(60)))
    assert [len(caller.cut) for caller in strangers] == [1] * 55 + [0] * 5
    assert admission.unknown == 5
    for caller in strangers:
        admission.went(caller)
    assert admission.unknown == 0


def test_as_many_connections_as_are_wanted_and_can_be():
    most = most_connections()
    assert most >= 1
    assert most_connections(most + 1000) == most
    assert most_connections(1) == 1


# -- what waits in memory ---------------------------------------------------------------------


def test_of_those_who_do_not_read_the_one_with_most_goes(account):
    admission = account(max_queued=100)
    small, large = came(admission, Caller(unsent=40), Caller(unsent=60), known=True)
    admission.filled(small)
    admission.filled(large)
    assert (small.cut, large.cut) == ([], [])
    small.unsent += 1
    admission.filled(small)
    assert small.cut == []
    [why] = large.cut
    assert why.startswith("it has not read 60 bytes of answers")
    assert "more than 100 (--max-queued)" in why


def test_who_reads_again_does_not_count(account):
    admission = account(max_queued=100)
    one, other, third = came(admission, *(Caller(unsent=60) for _ in range(3)), known=True)
    admission.filled(one)
    admission.emptied(one)
    admission.filled(other)
    admission.went(other)
    admission.filled(third)
    assert one.cut + other.cut + third.cut == []


def test_the_room_of_a_message_is_given_back_with_its_connection(account):
    admission = account(max_queued=100)
    one, other = came(admission, Caller(), Caller(), known=True)
    assert admission.budget.take(one, 90)
    admission.went(one)
    assert admission.budget.take(other, 90)


# -- now and then -----------------------------------------------------------------------------


def test_whose_pass_is_void_is_cut_off_and_nobody_else(account):
    admission = account()
    held, void, unknown = came(admission, Caller(), Caller(), Caller())
    held.holder, void.holder = Pass("admin", "authkey"), Pass("work", "authkey.work.old")
    sweep(admission)
    assert void.cut == []
    admission.door.holds = lambda holder: holder.role == "admin"
    sweep(admission)
    assert void.cut == ["what it came in with (authkey.work.old) is void"]
    assert held.cut + unknown.cut == []


def test_very_many_are_looked_at_in_slices(account, monkeypatch):
    monkeypatch.setattr("farm.server.admission.SLICE", 2)
    admission = account()
    callers = came(admission, *(Caller() for _ in range(5)))
    for caller in callers:
        caller.holder = Pass("work", "authkey")
    admission.door.holds = lambda _: False
    cut = [sum(bool(caller.cut) for caller in callers) for _ in admission.sweep()]
    assert cut == [2, 4, 5]


def test_who_goes_between_two_slices_is_not_cut_off(account, monkeypatch):
    monkeypatch.setattr("farm.server.admission.SLICE", 1)
    admission = account()
    callers = came(admission, Caller(), Caller())
    for caller in callers:
        caller.holder = Pass("work", "authkey")
    admission.door.holds = lambda _: False
    slices = admission.sweep()
    next(slices)
    [there] = [caller for caller in callers if not caller.cut]
    admission.went(there)
    assert list(slices) == [None]
    assert there.cut == []


def test_a_message_that_hardly_comes_on_is_cut_off_where_another_waits(account, clock):
    admission = account(max_queued=100)
    slow, other = came(admission, Caller(), Caller(), known=True)
    admission.budget.take(slow, 90)
    admission.budget.take(other, 90)
    sweep(admission)
    clock.now += 10.0
    sweep(admission)
    assert "too slowly" in slow.cut[0]


def test_complaints_are_logged_by_address_and_counted(account, caplog, clock):
    admission = account()
    for number in range(30):
        admission.complain(Caller("192.0.2.7"), f"refused: {number}")
    admission.complain(Caller("192.0.2.8"), "refused")
    clock.now += 60.0
    sweep(admission)
    assert caplog.record_tuples[0] == (
        "farm.server", logging.WARNING, "192.0.2.7:4711: refused: 0"
    )  # fmt: skip
    lines = [record.getMessage() for record in caplog.records]
    assert lines[-1] == "192.0.2.7: 30 of this kind within a minute"
    assert "192.0.2.8:4711: refused" in lines
    assert len(lines) < 25


def test_complaints_of_one_64_are_bounded_together(account, caplog):
    admission = account()
    for number in range(100):
        admission.complain(Caller(f"2001:db8::{number:x}"), "refused")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "2001:db8::0:4711: refused"
    assert lines[-1] == "2001:db8::/64: more of this kind; it is counted for a minute"
    assert len(lines) < 25


def test_all_are_closed_in_the_end(account):
    admission = account()
    callers = came(admission, Caller(), Caller())
    admission.close()
    assert all(caller.closed for caller in callers)


def test_of_many_who_keep_a_little_each_those_with_most_go(account):
    admission = account(max_queued=100)
    callers = came(admission, *(Caller() for _ in range(5)), known=True)
    for caller, kept in zip(callers, (10, 40, 30, 20, 0), strict=True):
        caller.kept = kept
    sweep(admission)
    assert not any(caller.cut for caller in callers)
    callers[4].kept = 35
    sweep(admission)
    [why] = callers[1].cut
    assert why.startswith("40 bytes of answers that it has not read and of requests wait")
    assert not any(caller.cut for caller in callers if caller is not callers[1])
