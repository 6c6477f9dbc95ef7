"""How the ledger chooses what to lease: priority, fairness, size, and at which cost."""

from __future__ import annotations

import doctest

import pytest

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.server import again, pace
from farm.server import ledger as module
from farm.server.ledger import Ledger
from farm.server.sizing import LEASE_SECONDS, MAX_LEASE
from farm.server.states import Grant


def ledger_of(*batches: tuple[int, int], nodes: int = 1, slots: int = 4) -> Ledger:
    """A ledger with batches of (total, priority) and some nodes."""
    made = Ledger()
    for number, (total, priority) in enumerate(batches, 1):
        made.submit(number, total, Options(priority=priority))
    for node in range(1, nodes + 1):
        made.join(node, f"n{node}", slots)
    return made


def lease(ledger: Ledger, node: int, free: int, *, now: float = 0.0) -> Grant | None:
    """A lease for a node all of whose free slots are idle."""
    return ledger.lease(node, free, idle=free, now=now)


def count(ranges: list[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in ranges)


@pytest.mark.parametrize("documented", [module, again, pace], ids=lambda m: m.__name__)
def test_the_examples_of_their_documentation(documented):
    assert doctest.testmod(documented).failed == 0


def test_the_higher_priority_is_served_first_whenever_it_came():
    ledger = ledger_of((3, 0), (3, 5), (3, -1))
    served = [lease(ledger, 1, 3).batch for _ in range(3)]
    assert served == [2, 1, 3]
    assert lease(ledger, 1, 1) is None


def test_batches_of_one_priority_get_the_same_number_of_slots():
    ledger = ledger_of((100, 0), (100, 0), (100, 0), nodes=12, slots=1)
    for node in range(1, 13):
        lease(ledger, node, 1)
    assert [ledger.batches[batch].busy for batch in (1, 2, 3)] == [4, 4, 4]


def test_a_batch_that_gave_its_slots_back_is_next():
    ledger = ledger_of((100, 0), (100, 0), nodes=4, slots=1)
    for node in (1, 2, 3, 4):
        lease(ledger, node, 1)
    freed = lease(ledger, 1, 1)
    ledger.complete(2, 2, 0, 1, seconds=1.0)
    ledger.complete(4, 2, 1, 2, seconds=1.0)
    assert freed.batch == 1
    assert lease(ledger, 2, 1).batch == 2


def test_what_a_node_brings_back_counts_for_fairness():
    ledger = ledger_of((10, 0), (10, 0), nodes=2, slots=8)
    list(ledger.present(1, {1: [(0, 5)]}))
    assert lease(ledger, 2, 1).batch == 2


def test_the_first_lease_of_a_batch_is_one_task_for_each_free_slot():
    assert lease(ledger_of((1000, 0)), 1, 3).ranges == [(0, 3)]


def test_short_tasks_are_leased_by_the_thousand_and_long_ones_one_by_one():
    short, long = ledger_of((10**9, 0)), ledger_of((10**9, 0))
    short.complete(1, 1, 0, 1, seconds=0.0001)
    long.complete(1, 1, 0, 1, seconds=60.0)
    assert count(lease(short, 1, 1).ranges) == pytest.approx(4 * LEASE_SECONDS / 0.0001, abs=4)
    assert count(lease(long, 1, 1).ranges) == 1


def test_a_lease_has_a_bound_whatever_tasks_cost():
    ledger = ledger_of((10**12, 0), slots=10_000)
    ledger.complete(1, 1, 0, 1, seconds=0.0)
    assert count(lease(ledger, 1, 1).ranges) == MAX_LEASE


def test_leases_shrink_as_the_batch_runs_out():
    ledger = ledger_of((10_001, 0), nodes=2, slots=2)
    ledger.complete(1, 1, 0, 1, seconds=1e-6)
    sizes = []
    while grant := lease(ledger, 1, 1):
        sizes.append(count(grant.ranges))
    assert sizes[0] == 2500
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 2  # one for each slot of the node


def test_the_mean_follows_the_tasks():
    ledger = ledger_of((1000, 0))
    for index in range(50):
        ledger.complete(1, 1, index, index + 1, seconds=2.0)
    assert ledger.batches[1].mean == pytest.approx(2.0)


def test_ten_thousand_batches_are_not_scanned_for_a_lease(monkeypatch):
    ledger = ledger_of(*[(10, 0)] * 10_000)
    looked_at = 0

    class Watched(dict):
        def get(self, key, default=None):
            nonlocal looked_at
            looked_at += 1
            return super().get(key, default)

        def values(self):
            nonlocal looked_at
            looked_at += len(self)
            return super().values()

    ledger.batches = ledger._schedule._batches = Watched(ledger.batches)
    for _ in range(1000):
        grant = lease(ledger, 1, 1)
        ledger.complete(1, grant.batch, *grant.ranges[0], seconds=1.0)
    assert looked_at <= 5 * 1000
    assert len(ledger._schedule._ready[False]) <= 64 + 4 * 10_000


def test_what_is_ready_does_not_grow_without_a_bound():
    ledger = ledger_of((10**6, 0), (10**6, 0))
    for _ in range(2000):
        grant = lease(ledger, 1, 1)
        ledger.give_back(1, grant.batch, grant.ranges)
    assert len(ledger._schedule._ready[False]) <= 64 + 4 * 2


def test_a_result_of_the_holder_does_not_look_at_the_other_nodes(monkeypatch):
    ledger = ledger_of((10_000, 0), nodes=1000, slots=1)
    leases = {node: lease(ledger, node, 1).ranges[0] for node in range(1, 1001)}
    calls = 0
    plain = RangeSet.intersection

    def counted(self, start, stop):
        nonlocal calls
        calls += 1
        return plain(self, start, stop)

    monkeypatch.setattr(RangeSet, "intersection", counted)
    for node, (start, stop) in leases.items():
        ledger.complete(node, 1, start, stop, seconds=1.0)
    assert calls <= 5 * 1000


def test_a_result_of_which_some_is_held_by_others_is_taken_from_all(monkeypatch):
    ledger = ledger_of((9, 0), nodes=2, slots=3)
    lease(ledger, 1, 3)
    lease(ledger, 2, 3)
    assert ledger.complete(1, 1, 2, 8, seconds=1.0) == [(2, 8)]
    state = ledger.batches[1]
    assert {node: list(held) for node, held in state.leased.items()} == {1: [(0, 2)]}
    assert list(state.pending) == [(8, 9)]
    assert (state.running, state.busy) == (2, 2)


def test_a_task_may_take_three_slots_with_it_whatever_its_retries():
    ledger = Ledger()
    ledger.submit(1, 1, Options(retries=1))
    ledger.join(1, "n1", 1)
    said = []
    for kind in ("crash", "error", "crash", "crash"):
        lease(ledger, 1, 1)
        said.append(ledger.fail(1, 1, 0, kind)[0].value)
    assert said == ["retry", "retry", "retry", "final"]
    assert ledger.batches[1].state == "failed"


def test_an_outcome_of_a_batch_that_nobody_knows_is_dropped():
    ledger = ledger_of()
    assert ledger.complete(1, 7, 0, 1, seconds=0.1) == []
    assert ledger.fail(1, 7, 0, "error")[0].value == "dropped"
    ledger.give_back(1, 7, [(0, 1)])
