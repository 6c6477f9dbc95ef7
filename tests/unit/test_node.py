"""What a node decides: chunks, what it wants, what it reports and presents."""

from __future__ import annotations

import array
import doctest

import pytest

from farm import delivery
from farm import node as module
from farm.engines import base
from farm.holdings import CHUNK_SECONDS
from farm.node import MAX_IDLE_BATCHES, Node
from farm.wire.leases import Failed, Held, Lease, Part, Unheard, Want
from farm.wire.messages import Block

SECONDS = b"\0\0\0\0"


def indices(ranges) -> set[int]:
    return {index for start, stop in ranges for index in range(start, stop)}


def ready_node(slots: int = 2, count: int = 100, mean: float = 0.0, batch: int = 1) -> Node:
    node = Node(slots)
    give(node, batch, count, mean)
    return node


def give(
    node: Node, batch: int, count: int, mean: float = 0.0, *, by_value: bool = False,
    once: bool = False,
) -> None:  # fmt: skip
    node.lease(Lease(batch, [(0, count)], mean))
    node.program_ready(batch, by_value=by_value, once=once)


def sizes(node: Node, idle: int = 2, ahead: int = 0) -> list[int]:
    return [chunk.stop - chunk.start for chunk, _ in node.chunks(idle, ahead)]


def part(batch: int, start: int, stop: int, payload: bytes = b"p") -> base.Part:
    return base.Part(1, batch, start, stop, payload, SECONDS * (stop - start))


def test_the_examples_of_its_documentation():
    assert doctest.testmod(module).failed == 0


# -- chunks -----------------------------------------------------------------------------------


def test_a_task_of_unknown_length_comes_alone():
    assert sizes(ready_node()) == [1, 1]


def test_a_chunk_is_so_many_seconds_of_work():
    assert sizes(ready_node(count=10_000, mean=0.001), idle=1) == [int(CHUNK_SECONDS / 0.001)]


def test_a_long_task_comes_alone():
    assert sizes(ready_node(mean=5.0)) == [1, 1]


def test_chunks_shrink_as_the_lease_runs_out():
    found = sizes(ready_node(count=40, mean=1e-6), idle=100)
    assert found[0] == 10
    assert found == sorted(found, reverse=True)
    assert sum(found) == 40


def test_only_short_chunks_go_behind_a_running_one():
    assert sizes(ready_node(mean=0.001), idle=0, ahead=2) != []
    assert sizes(ready_node(mean=1.0), idle=0, ahead=2) == []


def test_nothing_runs_before_its_program_is_known():
    node = Node(2)
    node.lease(Lease(1, [(0, 5)]))
    assert node.chunks(2, 0) == []
    assert node.needs_program() == [1]
    node.program_ready(1, by_value=False)
    assert node.needs_program() == []
    assert sizes(node) == [1, 1]


def test_a_chunk_is_of_consecutive_indices():
    node = Node(1)
    node.lease(Lease(1, [(0, 3), (10, 13)], 1e-6))
    node.program_ready(1, by_value=False)
    found = [(chunk.start, chunk.stop) for chunk, _ in node.chunks(10, 0)]
    assert all(stop <= 3 or start >= 10 for start, stop in found)
    assert indices(found) == {0, 1, 2, 10, 11, 12}


# -- blocks -----------------------------------------------------------------------------------


def test_a_block_is_asked_for_once_and_again_after_a_break():
    node = Node(2)
    give(node, 1, 5, by_value=True)
    assert node.missing_blocks() == [(1, 0)]
    assert node.missing_blocks() == []
    node.disconnected()
    assert node.missing_blocks() == [(1, 0)]


def test_a_chunk_ends_with_its_block_and_carries_it():
    node = Node(1)
    give(node, 1, 5, 1e-6, by_value=True)
    node.block(1, Block(0, 2, b"first"))
    node.block(1, Block(2, 5, b"second"))
    chunks = [chunk for chunk, _ in node.chunks(9, 0)]
    assert all(c.block.start <= c.start and c.stop <= c.block.stop for c in chunks)
    assert {chunk.block.payload for chunk in chunks} == {b"first", b"second"}


def test_what_lacks_its_block_waits():
    node = Node(2)
    give(node, 1, 5, by_value=True)
    node.block(1, Block(2, 5, b"second"))
    assert node.chunks(2, 0) == []


def test_a_block_of_a_batch_that_it_does_not_know_is_nothing_to_it():
    node = Node(2)
    node.block(2, Block(0, 1, b"payload"))
    assert node.batches == []


def test_blocks_are_asked_for_before_they_are_needed():
    node = Node(1)
    give(node, 1, 10, by_value=True)
    assert node.missing_blocks() == [(1, 0)]
    node.block(1, Block(0, 2, b"first"))
    assert node.missing_blocks() == [(1, 2), (1, 4)]
    assert node.missing_blocks() == []


def test_what_is_here_need_not_wait_for_the_blocks_behind_it():
    node = Node(1)
    give(node, 1, 10, 1e-6, by_value=True)
    node.missing_blocks()
    node.block(1, Block(0, 2, b"first"))
    node.missing_blocks()
    assert [(c.start, c.stop) for c, _ in node.chunks(1, 0)] == [(0, 2)]


# -- wanting ----------------------------------------------------------------------------------


def test_idle_slots_are_asked_for_once():
    node = Node(4)
    assert node.want(3) == Want(3, 3)
    assert node.want(3) is None
    assert node.want(4) == Want(4, 4)
    node.disconnected()
    assert node.want(3) == Want(3, 3)


def test_a_node_with_work_in_stock_wants_nothing():
    node = ready_node(mean=1.0)
    node.chunks(2, 0)
    assert node.want(0) is None


def test_the_next_lease_of_short_tasks_is_wanted_before_this_one_ends():
    node = ready_node(count=4, mean=0.001)
    node.chunks(2, 0)
    assert node.want(0) == Want(2, 0)


def test_no_more_is_wanted_while_a_program_or_a_block_is_on_its_way():
    node = Node(2)
    node.lease(Lease(1, [(0, 2)]))
    assert node.want(2) is None
    node.program_ready(1, by_value=True)
    node.missing_blocks()
    assert node.want(2) is None


def test_a_draining_node_wants_nothing_and_gives_back_what_has_not_begun():
    node = ready_node(count=5)
    node.chunks(2, 0)
    node.drain()
    assert node.want(2) is None
    assert node.delivery.report(1).returned == [Held(1, [(2, 5)])]
    node.lease(Lease(1, [(7, 9)]))
    assert node.delivery.report(2).returned == [Held(1, [(7, 9)])]


def test_no_more_is_wanted_while_too_much_is_not_acknowledged(monkeypatch):
    monkeypatch.setattr(module, "MAX_UNDELIVERED", 10)
    node = ready_node(count=2)
    node.chunks(2, 0)
    node.events([part(1, 0, 1, b"x" * 11)])
    node.delivery.report(1)
    assert node.want(2) is None
    node.delivery.acknowledged(1)
    assert node.want(2) == Want(2, 2)


# -- reports ----------------------------------------------------------------------------------


def test_a_report_has_a_bound(monkeypatch):
    monkeypatch.setattr(delivery, "MAX_REPORT_BYTES", 100)
    node = ready_node(count=20)
    node.chunks(20, 0)
    node.events([part(1, i, i + 1, b"x" * 40) for i in range(5)])
    node.events([
        base.Failed(1, 1, i, "error", "E", "", "", b"x" * 60, 0.1) for i in range(5, 8)
    ])  # fmt: skip
    reports = []
    while (report := node.delivery.report(len(reports))) is not None:
        reports.append((len(report.parts), len(report.failed)))
    assert reports == [(2, 1), (2, 1), (1, 1)]


def test_one_result_that_is_larger_than_a_report_is_a_report(monkeypatch):
    monkeypatch.setattr(delivery, "MAX_REPORT_BYTES", 10)
    node = ready_node()
    node.chunks(2, 0)
    node.events([part(1, 0, 1, b"x" * 50), part(1, 1, 2, b"x" * 50)])
    assert len(node.delivery.report(1).parts) == 1


def test_what_was_not_acknowledged_is_reported_again_in_its_order():
    node = ready_node()
    node.chunks(4, 0)
    for index in range(3):
        node.events([part(1, index, index + 1)])
        if index < 2:
            node.delivery.report(index + 1)
    node.delivery.acknowledged(1)
    node.disconnected()
    assert [p.start for p in node.delivery.report(3).parts] == [1, 2]
    node.delivery.acknowledged(2)


def test_what_is_not_reported_yet_is_presented():
    """Else the server gives it to another node, and drops the failure of this one."""
    node = ready_node(count=4)
    node.chunks(4, 0)
    node.events([part(1, 0, 1)])
    node.events([base.Failed(1, 1, 1, "error", "E", "", "", None, 0.1)])
    node.delivery.report(1)
    node.events([part(1, 2, 3)])
    node.disconnected()
    assert node.held() == [Held(1, [(0, 1), (2, 4)])]
    assert node.delivery.failures() == [Unheard(1, 1, 1)]


def test_what_the_server_does_not_want_is_forgotten_unless_it_runs():
    node = ready_node(count=5)
    node.chunks(2, 0)
    node.drop([Held(1, [(0, 4)]), Held(9, [(0, 1)])])
    assert node.held() == [Held(1, [(0, 2), (4, 5)])]


def test_a_dropped_batch_is_not_reported():
    node = ready_node()
    node.chunks(2, 0)
    node.events([part(1, 0, 1)])
    node.dropped(1)
    node.events([part(1, 1, 2)])
    assert node.delivery.report(1) is None
    assert node.held() == []


def test_few_batches_without_work_are_kept():
    node = Node(2)
    for batch in range(1, MAX_IDLE_BATCHES + 4):
        give(node, batch, 1)
        node.chunks(1, 0)
        node.events([part(batch, 0, 1), base.Ended(batch, batch, [])])
        node.delivery.report(batch)
        node.delivery.acknowledged(batch)
    give(node, 1000, 1)
    assert node.forget_idle() == [1, 2, 3]
    assert node.needs_program() == []


@pytest.mark.parametrize("seconds", [0.0, 1e-12])
def test_tasks_that_take_no_time_are_no_division_by_zero(seconds):
    node = ready_node(count=1000)
    node.chunks(1, 0)
    node.events([base.Part(1, 1, 0, 1, b"p", array.array("f", [seconds]).tobytes())])
    assert sizes(node, idle=1) == [250]


def test_parts_keep_what_the_engine_said():
    node = ready_node()
    node.chunks(2, 0)
    node.events([base.Failed(1, 1, 1, "crash", "T", "m", "tb", b"e", 0.5), part(1, 0, 1, b"r")])
    report = node.delivery.report(1)
    assert report.parts == [Part(1, 0, 1, b"r", SECONDS)]
    (failed,) = report.failed
    assert isinstance(failed, Failed)
    assert (failed.index, failed.seconds, failed.failure.kind) == (1, 0.5, "crash")
    assert (failed.failure.traceback, failed.failure.exception) == ("tb", b"e")


# -- tasks that must not run twice ---------------------------------------------------------------


def once_node(count: int = 10, mean: float = 0.0) -> Node:
    node = Node(2)
    give(node, 1, count, mean, once=True)
    return node


def test_tasks_that_must_not_run_twice_come_alone_and_never_behind_another():
    node = once_node(count=100, mean=1e-6)
    assert sizes(node, idle=2, ahead=2) == [1, 1]
    assert node.chunks(idle=0, ahead=2) == []


def test_others_go_behind_a_running_one_that_must_not_run_twice():
    node = once_node(count=2, mean=1e-6)
    node.chunks(idle=2, ahead=0)
    give(node, 2, 10, 1e-6)
    assert [(c.batch, behind) for c, behind in node.chunks(idle=0, ahead=1)] == [(2, True)]


def test_what_a_dead_slot_may_have_begun_is_lost_if_it_must_not_run_twice():
    node = once_node(count=3)
    node.chunks(2, 0)
    node.events([base.Ended(1, 1, [(0, 1)], begun=True)])
    report = node.delivery.report(1)
    (failed,) = report.failed
    assert (failed.index, failed.failure.kind) == (0, "lost")
    assert "`rerun: false`" in failed.failure.text
    assert report.returned == []
    assert [chunk.start for chunk, _ in node.chunks(2, 0)] == [2], "the lost one is not run again"


def test_what_a_dead_slot_had_not_begun_is_run_although_it_must_not_run_twice():
    node = once_node(count=1)
    node.chunks(1, 0)
    node.events([base.Ended(1, 1, [(0, 1)])])
    assert node.delivery.report(1) is None
    assert [chunk.start for chunk, _ in node.chunks(1, 0)] == [0]


def test_what_a_dead_slot_had_begun_is_run_again_if_it_may():
    node = ready_node(count=1)
    node.chunks(1, 0)
    node.events([base.Ended(1, 1, [(0, 1)], begun=True)])
    assert node.delivery.report(1) is None
    assert [chunk.start for chunk, _ in node.chunks(1, 0)] == [0]


def test_what_must_not_run_twice_has_the_next_idle_slot_and_nothing_takes_its_place():
    """It never waits behind a running chunk, which others that are short would do all the time."""
    node = ready_node(count=1000, mean=0.001)
    node.chunks(2, 0)
    give(node, 2, 1, once=True)
    assert node.chunks(0, 2) == []
    node.lease(Lease(1, [(1000, 2000)], 0.001))
    assert node.chunks(0, 2) == []
    found = [(chunk.batch, behind) for chunk, behind in node.chunks(1, 1)]
    assert found == [(2, False), (1, True)]


# -- a batch that is paused ----------------------------------------------------------------------


def test_what_has_not_begun_of_a_paused_batch_is_given_back_and_the_rest_runs_on():
    node = ready_node(count=5)
    give(node, 2, 5)
    node.chunks(2, 0)
    node.recall(1)
    node.recall(9)
    assert node.delivery.report(1).returned == [Held(1, [(2, 5)])]
    assert node.held() == [Held(1, [(0, 2)]), Held(2, [(0, 5)])]
    node.recall(1)
    assert node.delivery.report(2) is None


# -- tasks that run for longer than was expected --------------------------------------------------


def test_what_a_slot_returns_goes_to_another_one():
    node = ready_node(count=10, mean=0.001)
    (chunk, _), *_ = node.chunks(1, 0)
    node.events([base.Returned(chunk.id, 1, [(1, chunk.stop)])])
    ((again, _),) = node.chunks(1, 0)
    assert again.start == 1
    assert node.held() == [Held(1, [(0, 10)])]


def test_what_a_slot_returns_of_a_batch_that_was_recalled_is_given_back():
    node = ready_node(count=10, mean=0.001)
    (chunk, _), *_ = node.chunks(1, 0)
    node.recall(1)
    assert node.delivery.report(1).returned == [Held(1, [(chunk.stop, 10)])]
    node.events([base.Returned(chunk.id, 1, [(1, chunk.stop)])])
    assert node.delivery.report(2).returned == [Held(1, [(1, chunk.stop)])]
    assert node.held() == [Held(1, [(0, 1)])]


@pytest.mark.parametrize("pace", [0.0, 10.0])
def test_behind_what_was_recalled_no_more_is_wanted_until_a_slot_is_idle(pace):
    node = Node(2)
    node.lease(Lease(1, [(0, 10)], 0.001, pace=pace))
    node.program_ready(1, by_value=False)
    node.chunks(2, 0)
    assert node.want(0) is not None
    node.disconnected()  # it says so anew
    node.recall(1)
    assert node.want(0) is None
    assert (node.want(1).free, node.want(1)) == (1, None)
    node.lease(Lease(1, [(20, 21)], 0.001, pace=pace))
    assert node.want(0) is not None


# -- at the end ----------------------------------------------------------------------------------


def test_a_node_is_drained_once_all_it_told_is_acknowledged():
    node = ready_node(count=1)
    node.chunks(1, 0)
    node.drain()
    node.events([part(1, 0, 1)])
    assert not node.drained, "its chunk has not ended"
    node.events([base.Ended(1, 1, [])])
    assert not node.drained
    node.delivery.report(1)
    assert not node.drained
    node.delivery.acknowledged(1)
    assert node.drained


def test_an_idle_batch_is_not_forgotten_before_all_of_it_is_told(monkeypatch):
    monkeypatch.setattr(module, "MAX_IDLE_BATCHES", 0)
    node = ready_node(count=1)
    node.chunks(1, 0)
    node.events([part(1, 0, 1), base.Ended(1, 1, [])])
    assert node.forget_idle() == []
    assert node.held() == [Held(1, [(0, 1)])]
    assert [p.start for p in node.delivery.report(1).parts] == [0]
    assert node.forget_idle() == []
    node.delivery.acknowledged(1)
    assert node.forget_idle() == [1]


# -- a batch that is dropped and comes again --------------------------------------------------


def test_what_ran_before_a_cancel_is_not_taken_for_what_is_tried_again():
    node = ready_node(count=2)
    first, second = (chunk for chunk, _ in node.chunks(2, 0))
    node.dropped(1)
    give(node, 1, 2)
    assert node.chunks(2, 0) == [], "begins beside what is still being killed"
    node.events([base.Ended(first.id, 1, [(0, 1)], begun=True)])
    node.events([base.Part(second.id, 1, 1, 2, b"old", SECONDS)])
    node.events([base.Failed(second.id, 1, 1, "crash", "", "killed", "", None, 0.1)])
    node.events([base.Ended(second.id, 1, [])])
    assert node.delivery.empty
    assert node.held() == [Held(1, [(0, 2)])]
    assert [(chunk.start, chunk.stop) for chunk, _ in node.chunks(2, 0)] == [(0, 1), (1, 2)]


def test_a_loss_before_a_cancel_is_none_of_what_must_not_run_twice_and_is_tried_again():
    node = ready_node(count=1)
    node.program_ready(1, by_value=False, once=True)
    ((chunk, _),) = node.chunks(1, 0)
    node.dropped(1)
    give(node, 1, 1)
    node.program_ready(1, by_value=False, once=True)
    node.events([base.Ended(chunk.id, 1, [(0, 1)], begun=True)])
    assert node.delivery.failures() == []
    assert node.held() == [Held(1, [(0, 1)])]
