"""Tasks to be tried again: when, by whom, and that nothing of the past is kept."""

from __future__ import annotations

import pytest

from farm.batch.ranges import RangeSet
from farm.server.again import ANYWHERE, ELSEWHERE_SECONDS, Again


@pytest.fixture
def again():
    return Again()


def test_a_task_is_not_taken_before_its_time(again):
    again.add(3, due=5.0, avoid=ANYWHERE, now=0.0)
    again.wake(4.99)
    assert not again.any_due
    assert again.take(1, "n1", alone=True) == []
    assert again.next_time == 5.0
    again.wake(5.0)
    assert again.suits("n1", alone=False)
    assert again.take(1, "n1", alone=False) == [(3, 4)]
    assert again.count == 0


def test_another_node_gets_it_at_once_and_the_same_one_after_a_while(again):
    again.add(3, due=0.0, avoid="n1", now=0.0)
    again.add(4, due=0.0, avoid="n2", now=0.0)
    assert again.suits("n1", alone=False)
    assert again.take(9, "n1", alone=False) == [(4, 5)]
    assert not again.suits("n1", alone=False)
    again.wake(ELSEWHERE_SECONDS - 0.01)
    assert again.take(9, "n1", alone=False) == []
    assert again.next_time == ELSEWHERE_SECONDS
    again.wake(ELSEWHERE_SECONDS)
    assert again.take(9, "n1", alone=False) == [(3, 4)]


def test_the_only_node_gets_it_at_once(again):
    again.add(3, due=0.0, avoid="n1", now=0.0)
    assert again.suits("n1", alone=True)
    assert again.take(9, "n1", alone=True) == [(3, 4)]


def test_the_wait_for_another_node_begins_when_the_delay_is_over(again):
    again.add(3, due=50.0, avoid="n1", now=0.0)
    again.wake(50.0)
    again.wake(50.0 + ELSEWHERE_SECONDS - 1)
    assert not again.suits("n1", alone=False)
    again.wake(50.0 + ELSEWHERE_SECONDS)
    assert again.suits("n1", alone=False)


@pytest.mark.parametrize("how", ["taken", "discarded"])
def test_a_second_failure_on_the_same_node_is_waited_for_anew(again, how):
    """What is remembered of the first one must not end the second one's wait."""
    again.add(3, due=0.0, avoid="n1", now=0.0)
    if how == "taken":
        again.take(1, "n2", alone=False)
    else:
        again.discard(3, 4)
    again.add(3, due=50.0, avoid="n1", now=50.0)
    again.wake(ELSEWHERE_SECONDS + 1)
    assert not again.suits("n1", alone=False)
    again.wake(50.0 + ELSEWHERE_SECONDS)
    assert again.suits("n1", alone=False)


def test_a_delay_that_was_discarded_does_not_end_the_next_one(again):
    again.add(3, due=10.0, avoid="n1", now=0.0)
    again.discard(0, 10)
    again.add(3, due=20.0, avoid="n1", now=5.0)
    again.wake(10.0)
    assert not again.any_due
    again.wake(20.0)
    assert again.any_due


def test_no_more_than_is_asked_for_and_from_all_that_suit(again):
    for index in range(4):
        again.add(index, due=0.0, avoid=f"n{index % 2}", now=0.0)
    assert again.take(3, "n9", alone=False) == [(0, 1), (2, 3), (1, 2)]
    assert again.count == 1
    assert again.take(3, "n9", alone=False) == [(3, 4)]
    assert not again.any_due


@pytest.mark.parametrize(("start", "stop"), [(2, 4), (0, 10**15)])
def test_what_has_an_outcome_is_gone_wherever_it_was(again, start, stop):
    again.add(2, due=0.0, avoid="n1", now=0.0)
    again.add(3, due=9.0, avoid="n1", now=0.0)
    assert list(again) == [(2, 4)]
    assert 2 in again
    assert 3 in again
    again.discard(start, stop)
    assert again.count == 0
    assert list(again) == []
    assert 3 not in again
    again.wake(1000.0)
    assert not again.any_due


def test_what_no_longer_holds_is_not_kept(again):
    """A hundred thousand failures within the minute that each would be waited for."""
    for number in range(100_000):
        again.add(number % 7, due=0.0, avoid="n1", now=number * 1e-4)
        again.take(1, "n2", alone=False)
    again.add(8, due=10.0, avoid="n1", now=10.0)
    assert len(again._times) <= 64 + 4
    assert len(again._when) == 1
    for number in range(100_000):
        again.add(1, due=1e6 - number, avoid="n1", now=10.0)
        again.discard(0, 10)
    assert len(again._times) <= 64 + 4


def test_some_of_them_are_taken_whatever_they_wait_for(again):
    for index in range(6):
        again.add(index, due=9.0 * (index % 2), avoid=f"n{index % 3}", now=0.0)
    assert list(again.take_all(RangeSet([(1, 4), (7, 9)]))) == [(1, 4)]
    assert list(again) == [(0, 1), (4, 6)]
    assert sorted(again._when) == [0, 4, 5]
    assert list(again.take_all(RangeSet([(0, 9)]))) == [(0, 1), (4, 6)]
    assert again.count == 0
    assert again._when == {}
    assert not again.any_due
    assert not again.take_all(RangeSet([(0, 9)]))


def test_who_wants_nothing_of_what_waits_does_not_look_at_all_of_it(monkeypatch):
    again = Again()
    for index in range(100):
        again.add(index, due=10.0 * (index % 2), avoid="a", now=1.0)
    monkeypatch.setattr(Again, "_later_ones", lambda _: pytest.fail("all of it"))
    assert not again.take_all(RangeSet())
    assert list(again.take_all(RangeSet([(5, 7), (200, 230)]))) == [(5, 7)]
    assert again.count == 98


def test_of_what_was_taken_at_once_no_times_are_left():
    again = Again()
    for index in range(500):
        again.add(index, due=10.0, avoid="a", now=1.0)
    again.take_all(RangeSet([(0, 450)]))
    assert len(again._times) <= 64 + 4 * 50
    again.take_all(RangeSet([(0, 500)]))
    assert (again._times, again.next_time) == ([], None)
