"""Whose turn it is when long answers are made, and for how long."""

from __future__ import annotations

import logging

import pytest

from farm.server.rounds import SLICE_SECONDS, Rounds


class Bench:
    """Steps that take a while, on a clock that they move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rounds = Rounds(lambda: self.now)
        self.made: list[str] = []

    def add(self, who: str, steps: int, seconds: float = 0.0, name: str = "") -> None:
        left = iter(range(steps - 1, -1, -1))

        def step() -> bool:
            self.made.append(name or who)
            self.now += seconds
            return next(left) > 0

        self.rounds.add(who, step)


@pytest.fixture
def bench():
    return Bench()


def test_each_who_asked_has_a_step_in_turn(bench):
    bench.add("a", 3)
    bench.add("b", 1)
    bench.add("c", 2)
    bench.rounds.run()
    assert bench.made == ["a", "b", "c", "a", "c", "a"]
    assert not bench.rounds


def test_those_who_came_with_the_same_share_its_turns(bench):
    bench.add("a", 2, name="first")
    bench.add("a", 2, name="second")
    bench.add("b", 4)
    bench.rounds.run()
    assert bench.made == ["first", "b", "second", "b", "first", "b", "second", "b"]


def test_it_stops_when_its_time_is_over_and_goes_on_where_it_stopped(bench):
    bench.add("a", 3, 0.6 * SLICE_SECONDS)
    bench.add("b", 3, 0.6 * SLICE_SECONDS)
    for made in (["a", "b"], ["a", "b"], ["a", "b"]):
        assert bench.rounds
        bench.made.clear()
        bench.rounds.run()
        assert bench.made == made
    assert not bench.rounds


def test_a_step_that_takes_too_long_is_the_only_one(bench):
    bench.add("a", 2, 10 * SLICE_SECONDS)
    bench.rounds.run()
    assert bench.made == ["a"]


def test_whoever_comes_between_has_the_next_turn_but_those_who_wait(bench):
    bench.add("a", 9, 2 * SLICE_SECONDS)
    bench.rounds.run()
    bench.add("b", 1, 2 * SLICE_SECONDS)
    for _ in range(2):
        bench.rounds.run()
    assert bench.made == ["a", "a", "b"]


def test_a_step_that_fails_is_logged_and_costs_the_others_nothing(bench, caplog):
    def fails() -> bool:
        raise KeyError("a bug")

    bench.rounds.add("a", fails)
    bench.add("a", 1)
    bench.add("b", 1)
    bench.rounds.run()
    assert bench.made == ["b", "a"]
    assert not bench.rounds
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "a bug" in caplog.text
