"""The pace that a busy server asks of its nodes."""

from __future__ import annotations

import copy
import doctest

from hypothesis import given
from hypothesis import strategies as st

from farm.server import load
from farm.server.load import BUSY, FIRST_PACE, LEAST_REPORTS, MAX_PACE, ROOM, SHRINKAGE, Load

shares = st.floats(0.0, 1.0)
MANY = int(LEAST_REPORTS * MAX_PACE)


class Server:
    """Time and what was used in it, in steps of a second."""

    def __init__(self) -> None:
        self.load = Load()
        self.now = self.cpu = 0.0
        self.load.look(0.0, 0.0, MANY)

    def second(self, share: float, nodes: int = MANY) -> float:
        self.now += 1.0
        self.cpu += share
        return self.load.look(self.cpu, self.now, nodes)


def test_the_example_of_its_documentation() -> None:
    assert doctest.testmod(load).failed == 0


@given(st.lists(shares), st.integers(0, 2 * MANY))
def test_it_is_bounded(seen: list[float], nodes: int) -> None:
    server = Server()
    for share in seen:
        pace = server.second(share, nodes)
        assert pace == 0.0 or FIRST_PACE <= pace <= min(MAX_PACE, nodes / LEAST_REPORTS)


@given(st.lists(shares, max_size=60))
def test_it_is_nothing_again_once_there_is_room(seen: list[float]) -> None:
    server = Server()
    for share in seen:
        server.second(share)
    paces = [server.second(ROOM / 2) for _ in range(120)]
    assert sorted(paces[int(MAX_PACE) :], reverse=True) == paces[int(MAX_PACE) :]
    assert paces[-1] == 0.0


@given(st.lists(shares), shares, shares)
def test_more_load_makes_no_shorter_pace(seen: list[float], one: float, other: float) -> None:
    server = Server()
    for share in seen:
        server.second(share)
    same = copy.deepcopy(server)
    assert server.second(min(one, other)) <= same.second(max(one, other))


@given(st.floats(1.0, 10_000.0))
def test_it_does_not_go_up_and_down(reports: float) -> None:
    """A load that is all of reports, of which fewer come the longer the pace."""
    server, paces = Server(), []
    for _ in range(300):
        pace = server.load.pace
        paces.append(server.second(min(1.0, reports / 1000 / max(1.0, pace * 10))))
    assert paces[-60:] == [paces[-1]] * 60


def test_few_nodes_are_never_asked() -> None:
    server = Server()
    assert {server.second(1.0, int(LEAST_REPORTS * FIRST_PACE) - 1) for _ in range(60)} == {0.0}


def test_a_light_load_is_none() -> None:
    server = Server()
    assert {server.second(BUSY - 0.01) for _ in range(60)} == {0.0}


def test_the_load_is_measured_for_as_long_as_the_pace() -> None:
    server = Server()
    while server.load.pace < MAX_PACE:
        server.second(1.0)
    paces = [server.second(0.0) for _ in range(10)]
    assert paces == [MAX_PACE] * 9 + [MAX_PACE * SHRINKAGE]
