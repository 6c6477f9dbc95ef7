"""Room for unfinished messages, and how many requests a second: pure, with time passed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.server.budget import MIN_RATE, STALL_SECONDS, Allowance, Budget


class Holder:
    """A connection, as far as this goes."""

    def __init__(self) -> None:
        self.received = 0
        self.admissions = 0
        self.cut: list[str] = []

    def admitted(self) -> None:
        self.admissions += 1

    def cut_off(self, why: str) -> None:
        self.cut.append(why)


def holders(count: int) -> list[Holder]:
    return [Holder() for _ in range(count)]


# -- room -------------------------------------------------------------------------------------


def test_what_fits_is_let_in_and_what_does_not_waits():
    budget, (a, b, c) = Budget(100), holders(3)
    assert budget.take(a, 60)
    assert budget.take(b, 40)
    assert not budget.take(c, 1)
    budget.give_back(a)
    assert (a.admissions, b.admissions, c.admissions) == (0, 0, 1)


def test_who_waits_is_let_in_in_the_order_of_coming():
    budget, (a, large, small) = Budget(100), holders(3)
    budget.take(a, 60)
    assert not budget.take(large, 80)
    assert not budget.take(small, 10), "it would fit, and the large one would wait for ever"
    budget.give_back(a)
    assert (large.admissions, small.admissions) == (1, 1)


def test_one_that_is_larger_than_all_room_waits_until_it_is_alone():
    budget, (a, huge, b) = Budget(100), holders(3)
    budget.take(a, 1)
    assert not budget.take(huge, 1000)
    budget.give_back(a)
    assert huge.admissions == 1
    assert not budget.take(b, 1)
    budget.give_back(huge)
    assert b.admissions == 1
    budget.give_back(b)
    assert budget.take(a, 100)


def test_who_goes_while_it_waits_is_passed_over():
    budget, (a, b, c) = Budget(100), holders(3)
    for holder in (a, b, c):
        budget.take(holder, 80)
    budget.give_back(b)
    budget.give_back(a)
    assert (b.admissions, c.admissions) == (0, 1)


def test_the_first_in_line_may_go_and_the_next_one_fit():
    budget, (a, large, small) = Budget(100), holders(3)
    budget.take(a, 60)
    budget.take(large, 80)
    budget.take(small, 10)
    budget.give_back(large)
    assert small.admissions == 1


def test_to_give_back_what_one_does_not_have_changes_nothing():
    budget, (a, b) = Budget(100), holders(2)
    budget.give_back(a)
    assert budget.take(a, 100)
    budget.give_back(b)
    assert not budget.take(b, 1)


@given(
    st.integers(1, 100),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 150)), max_size=60),
)
def test_no_more_is_ever_held_than_there_is_and_all_come_in_their_turn(limit, steps):
    """Against a list of who came: 0 bytes are a message that is over."""
    budget, everybody = Budget(limit), holders(6)
    came: list[tuple[Holder, int]] = []  # holders and waiting ones, in the order of coming
    before = dict.fromkeys(everybody, 0)
    inside: set[Holder] = set()
    for who, size in steps:
        holder = everybody[who]
        known = any(other is holder for other, _ in came)
        if known:
            budget.give_back(holder)
            came = [(other, wants) for other, wants in came if other is not holder]
            inside.discard(holder)
        if size:
            came.append((holder, size))
            if budget.take(holder, size):
                inside.add(holder)
        for other in everybody:
            if other.admissions > before[other]:
                assert other.admissions == before[other] + 1
                before[other] += 1
                inside.add(other)
        held = [wants for other, wants in came if other in inside]
        assert sum(held) <= limit or len(held) == 1
        waiting = [wants for other, wants in came if other not in inside]
        assert not waiting or sum(held) + waiting[0] > limit
    for holder, _ in came:
        budget.give_back(holder)
    assert budget.take(everybody[0], limit)


# -- those who hold others up -----------------------------------------------------------------


@pytest.fixture
def both():
    """A budget, who holds all of its room, and who waits for it."""
    budget, (holder, waiting) = Budget(100), holders(2)
    budget.take(holder, 90)
    budget.take(waiting, 90)
    budget.sweep(0.0)
    return budget, holder, waiting


def test_whose_message_hardly_comes_on_is_cut_off_for_who_waits(both):
    budget, holder, waiting = both
    budget.sweep(STALL_SECONDS - 0.1)
    assert holder.cut == []
    holder.received = int(MIN_RATE * STALL_SECONDS) - 1
    budget.sweep(STALL_SECONDS)
    assert holder.cut == [
        "its message comes on too slowly, and others wait for its room (--max-queued)"
    ]
    assert waiting.cut == []
    budget.give_back(holder)
    assert waiting.admissions == 1


def test_whose_message_comes_on_may_take_long(both):
    budget, holder, _ = both
    for times in range(1, 50):
        holder.received += int(MIN_RATE * STALL_SECONDS)
        budget.sweep(times * STALL_SECONDS)
    assert holder.cut == []
    budget.sweep(50 * STALL_SECONDS)
    assert len(holder.cut) == 1


def test_where_nobody_waits_nobody_is_in_a_hurry():
    budget, (holder, late) = Budget(100), holders(2)
    budget.take(holder, 90)
    for now in range(100):
        budget.sweep(float(now))
    budget.take(late, 90)
    budget.sweep(100.0)
    budget.sweep(100.0 + STALL_SECONDS - 1)
    assert holder.cut == []


def test_time_in_which_nobody_waited_does_not_count(both):
    budget, holder, waiting = both
    budget.give_back(waiting)
    budget.sweep(5.0)
    budget.take(waiting, 90)
    budget.sweep(STALL_SECONDS)
    assert holder.cut == []
    budget.sweep(2 * STALL_SECONDS)
    assert len(holder.cut) == 1


def test_the_next_message_of_a_connection_has_its_own_time(both):
    budget, holder, waiting = both
    budget.give_back(holder)
    budget.take(holder, 90)  # behind who waited
    budget.sweep(STALL_SECONDS)
    assert waiting.cut + holder.cut == []


# -- requests ---------------------------------------------------------------------------------


def test_those_of_one_second_may_come_at_once():
    allowance = Allowance(3, 10.0)
    assert [allowance.take(10.0) for _ in range(5)] == [True, True, True, False, False]
    assert [allowance.take(10.4) for _ in range(2)] == [True, False]


def test_what_is_refused_costs_nothing():
    allowance = Allowance(1, 0.0)
    assert allowance.take(0.0)
    assert not any(allowance.take(0.01 * times) for times in range(99))
    assert allowance.take(1.0)


def test_what_was_not_used_is_not_saved_up():
    allowance = Allowance(2, 0.0)
    assert [allowance.take(1000.0) for _ in range(4)] == [True, True, False, False]


@given(st.integers(1, 50), st.lists(st.floats(0.0, 2.0), max_size=80))
def test_in_no_time_more_than_its_share_and_a_seconds_worth(rate, pauses):
    allowance, now = Allowance(rate, 0.0), 0.0
    served: list[float] = []
    for pause in pauses:
        now += pause
        if allowance.take(now):
            served.append(now)
    for first in range(len(served)):
        for last in range(first, len(served)):
            seconds = served[last] - served[first]
            assert last - first + 1 <= rate * (1 + seconds) + 1e-6
