"""How a node keeps to the pace that its server asks for."""

from __future__ import annotations

import array
import doctest

import pytest

from farm import pacing
from farm.delivery import PRESSING_BYTES
from farm.engines import base
from farm.holdings import COUNTED_SECONDS
from farm.node import Node
from farm.wire.leases import Lease, Want, worth

PACE, SLOTS = 2.0, 4


def test_the_example_of_its_documentation() -> None:
    assert doctest.testmod(pacing).failed == 0


class Paced:
    """A node with work of tasks of a second, whose slots are all busy."""

    def __init__(self, pace: float = PACE, tasks: int = 12) -> None:
        self.node = Node(SLOTS)
        self.lease(1, (0, tasks), pace)
        self.running = [chunk for chunk, _ in self.node.chunks(SLOTS, 0)]
        self.said(0.0)

    def lease(self, batch: int, tasks: tuple[int, int], pace: float) -> None:
        self.node.lease(Lease(batch, [tasks], 1.0, pace=pace))
        self.node.program_ready(batch, by_value=False)

    def said(self, now: float) -> None:
        while self.node.delivery.report(1):
            self.node.delivery.acknowledged(1)
        self.node.want(self.idle)
        self.node.said(now)

    @property
    def idle(self) -> int:
        return SLOTS - len(self.running)

    def ends(self, payload: bytes = b"r") -> None:
        """A task is done, and the next one begins."""
        chunk = self.running.pop(0)
        seconds = array.array("f", [1.0]).tobytes()
        part = base.Part(chunk.id, chunk.batch, chunk.start, chunk.stop, payload, seconds)
        self.node.events([part, base.Ended(chunk.id, chunk.batch, [])])
        self.running += [chunk for chunk, _ in self.node.chunks(self.idle, 0)]

    def keeps(self, now: float) -> bool:
        return self.node.keeps(self.idle, now)


def test_what_came_waits_for_the_pace() -> None:
    paced = Paced()
    assert paced.node.due is None
    paced.ends()
    assert (paced.keeps(1.9), paced.keeps(2.0), paced.node.due) == (True, False, 2.0)


def test_without_a_pace_nothing_waits() -> None:
    paced = Paced(pace=0.0)
    paced.ends()
    assert not paced.keeps(0.0)


@pytest.mark.parametrize(("counted", "due"), [(True, COUNTED_SECONDS), (False, PACE)])
def test_a_failure_that_may_end_its_batch_is_kept_for_a_second_at_most(
    counted: bool, due: float
) -> None:
    paced = Paced()
    paced.node.program_ready(1, by_value=False, counted=counted)
    chunk = paced.running[0]
    failed = base.Failed(chunk.id, 1, chunk.start, "error", "E", "", "", None, 0.1)
    paced.node.events([failed])
    assert paced.keeps(0.1)
    assert paced.node.due == due


def test_a_pace_has_passed_for_what_comes_long_after_the_last_report() -> None:
    paced = Paced()
    paced.ends()
    assert not paced.keeps(60.0)


def test_a_slot_without_work_is_told_at_once() -> None:
    paced = Paced(tasks=SLOTS)
    paced.ends()
    assert not paced.keeps(0.1)


def test_a_node_that_drains_says_all_at_once() -> None:
    paced = Paced()
    paced.ends()
    paced.node.draining = True
    assert not paced.keeps(0.1)


def test_large_results_are_told_at_once() -> None:
    paced = Paced()
    paced.ends(bytes(PRESSING_BYTES))
    assert not paced.keeps(0.1)


def test_what_is_given_back_is_told_at_once() -> None:
    paced = Paced()
    paced.node.recall(1)
    paced.running.pop()  # as if it were idle: others may have what was given back
    assert not paced.keeps(0.1)


def test_what_comes_of_a_batch_without_a_pace_is_told_at_once() -> None:
    paced = Paced(pace=0.0)
    paced.lease(2, (0, 12), PACE)
    paced.said(0.0)
    assert paced.keeps(0.1)
    paced.ends()
    assert not paced.keeps(0.1)


def test_a_failure_waits_as_a_result_does() -> None:
    paced = Paced()
    chunk = paced.running[0]
    text = "it went wrong"
    paced.node.events([base.Failed(chunk.id, 1, chunk.start, "error", "E", text, "", None, 0.5)])
    assert (paced.keeps(1.9), paced.node.due) == (True, 2.0)


def test_what_was_not_acknowledged_is_told_at_once_on_the_next_connection() -> None:
    paced = Paced()
    paced.ends()
    assert paced.node.delivery.report(1)
    paced.node.said(2.0)
    paced.node.disconnected()
    assert not paced.keeps(2.1)


def test_what_the_network_did_not_take_is_still_due() -> None:
    paced = Paced()
    paced.ends()
    paced.node.said(2.0)
    assert paced.node.due == 2.0


@pytest.mark.parametrize("waiting", [0, 2, 6, 9])
def test_it_asks_for_what_lasts_until_it_has_spoken_once_more(waiting: int) -> None:
    paced = Paced(tasks=SLOTS + waiting)
    paced.node.disconnected()  # it has asked for nothing yet
    lacking = min(SLOTS, int(worth(PACE) * SLOTS) - waiting)
    assert paced.node.want(0) == Want(lacking, 0, waiting / SLOTS)


def test_it_asks_for_nothing_where_enough_waits() -> None:
    paced = Paced(tasks=SLOTS + int(worth(PACE) * SLOTS))
    paced.node.disconnected()
    assert paced.node.want(0) is None


def test_tasks_that_outlast_a_pace_are_not_asked_for_ahead() -> None:
    node = Node(1)
    node.lease(Lease(1, [(0, 1)], 60.0, pace=PACE))
    node.program_ready(1, by_value=False)
    assert node.chunks(1, 0)
    assert node.want(0) is None


def test_what_is_wanted_and_kept_is_due_although_nothing_came() -> None:
    """The loop would look around by itself only after seconds."""
    paced = Paced()
    assert paced.keeps(0.1)
    assert paced.node.due is None, "the server knows what is wanted"
    paced.node.lease(Lease(1, [(12, 13)], 1.0, pace=2 * PACE))  # for which more has to wait
    assert (paced.keeps(0.2), paced.node.due) == (True, 2 * PACE)
    assert not paced.keeps(2 * PACE)
    paced.said(2 * PACE)
    assert paced.node.due is None
