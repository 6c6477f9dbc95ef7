"""Which batch is served next, of very many, and that what is remembered of them stays bounded."""

from __future__ import annotations

import random

import pytest

from farm.batch.spec import Options
from farm.server.ledger import Ledger
from farm.server.schedule import Schedule
from farm.server.states import Batch, Node


def batch_of(number: int, total: int = 5, **options) -> Batch:
    made = Batch(number, total, Options(**options))
    made.pending.add(0, total)
    return made


@pytest.fixture
def node():
    return Node(1, "n1", 4, 0.0)


def scheduled(*batches: Batch) -> tuple[Schedule, dict[int, Batch]]:
    known = {batch.id: batch for batch in batches}
    schedule = Schedule(known)
    for batch in batches:
        schedule.rank(batch)
    return schedule, known


def test_the_highest_priority_then_the_fewest_busy_slots_then_the_oldest(node):
    batches = [batch_of(n, priority=n % 3) for n in range(1, 10)]
    for batch in batches:
        batch.busy = 9 - batch.id
    schedule, known = scheduled(*batches)
    served = []
    while (best := schedule.choose(node, 1, alone=True)) is not None:
        served.append(best.id)
        known[best.id].pending.discard(0, 5)
        schedule.rank(best)
    assert served == [8, 5, 2, 7, 4, 1, 9, 6, 3]
    assert schedule.empty


def test_five_thousand_batches_in_any_order_of_changes(node):
    """Against a search through all of them."""
    drawn = random.Random(7)
    batches = [batch_of(n, priority=drawn.randint(0, 3)) for n in range(1, 5001)]
    schedule, known = scheduled(*batches)
    for step in range(300):
        for batch in drawn.sample(batches, 20):
            batch.busy, batch.paused = drawn.randint(0, 5), drawn.random() < 0.3
            schedule.rank(batch)
        if step % 10 == 0:
            gone = batches.pop(drawn.randrange(len(batches)))
            del known[gone.id]
        best = min((-b.options.priority, b.busy, b.id) for b in batches if not b.paused)
        assert schedule.choose(node, 1, alone=True).id == best[2]
        assert len(schedule._ready[False]) <= 64 + 4 * 5000


def test_what_is_passed_over_for_one_node_is_there_for_the_next(node):
    schedule, _ = scheduled(batch_of(1, rerun=False, priority=2), batch_of(2, priority=3))
    assert schedule.choose(node, 0, alone=True).id == 2
    schedule, _ = scheduled(batch_of(1, rerun=False, priority=2), batch_of(2))
    assert schedule.choose(node, 1, alone=True).id == 1


def test_what_waits_for_an_idle_slot_and_comes_first_is_not_overtaken_for_ever(node):
    schedule, known = scheduled(batch_of(1, rerun=False, priority=2), batch_of(2))
    assert schedule.choose(node, 0, alone=True) is None
    assert schedule.for_idle_alone
    known[1].pending.discard(0, 5)
    assert schedule.choose(node, 0, alone=True).id == 2
    assert not schedule.for_idle_alone


def test_what_waits_for_another_node_keeps_nothing_from_this_one(node):
    batch = batch_of(1, rerun=False, priority=2)
    batch.pending.discard(0, 5)
    batch.again.add(0, due=0.0, avoid="n1", now=0.0)
    schedule, _ = scheduled(batch, batch_of(2))
    assert schedule.choose(node, 0, alone=False).id == 2
    assert schedule.choose(Node(2, "n2", 4, 0.0), 0, alone=False) is None


def test_nothing_for_this_node_is_not_nothing_at_all(node):
    schedule, _ = scheduled(batch_of(1, max_parallel=3))
    assert schedule.choose(node, 0, alone=True) is None
    assert not schedule.empty


def test_what_failed_here_is_passed_over_until_its_time(node):
    batch = batch_of(1)
    batch.pending.discard(0, 5)
    batch.again.add(0, due=0.0, avoid="n1", now=0.0)
    schedule, _ = scheduled(batch)
    assert schedule.choose(node, 1, alone=False) is None
    assert not schedule.empty
    assert schedule.choose(node, 1, alone=True) is batch
    assert schedule.next_time == 60.0
    schedule.wake(60.0)
    assert schedule.choose(node, 1, alone=False) is batch


def test_a_paused_batch_asks_for_no_time_until_it_goes_on(node):
    batch = batch_of(1)
    batch.pending.discard(0, 5)
    batch.paused = True
    batch.again.add(0, due=5.0, avoid="", now=0.0)
    schedule, _ = scheduled(batch)
    assert schedule.next_time is None
    schedule.wake(9.0)
    batch.paused = False
    schedule.rank(batch)
    schedule.wake(9.0)
    assert schedule.choose(node, 1, alone=True) is batch


def test_times_that_no_longer_hold_do_not_pile_up():
    """A long delay beside a rate: each pause for the rate comes before the delay's end."""
    ledger = Ledger()
    ledger.submit(1, 10**6, Options(rate=1000.0, retries=1, delay=86_400.0))
    ledger.join(1, "n1", 1)
    ledger.lease(1, 1, idle=1, now=0.0)
    ledger.fail(1, 1, 0, "error", now=0.0)
    now = 0.0
    for _ in range(3000):
        now = ledger.next_time
        grant = ledger.lease(1, 50, idle=50, now=now)
        ledger.complete(1, 1, *grant.ranges[0], seconds=1.0)
    assert now < 1000.0
    assert len(ledger._schedule._timed) <= 64 + 4


def test_forgotten_batches_leave_nothing_behind():
    ledger = Ledger()
    ledger.join(1, "n1", 1)
    for batch in range(1, 2001):
        ledger.submit(batch, 1, Options(retries=1, delay=3600.0))
        ledger.lease(1, 1, idle=1, now=0.0)
        ledger.fail(1, batch, 0, "error", now=0.0)
        ledger.cancel(batch)
        ledger.forget(batch)
    schedule = ledger._schedule
    assert len(schedule._ready[False]) + len(schedule._timed) <= 2 * 68
    ledger.submit(2001, 1, Options())
    assert ledger.lease(1, 1, idle=1, now=0.0).batch == 2001
    ledger.wake(1e6)
    assert ledger.next_time is None


def test_a_node_without_an_idle_slot_does_not_look_through_what_it_cannot_have(node, monkeypatch):
    batches = [batch_of(n, rerun=False) for n in range(1, 2001)]
    schedule, _ = scheduled(*batches)
    looked = 0
    plain = Schedule._is_ready

    def counted(self, state):
        nonlocal looked
        looked += 1
        return plain(self, state)

    monkeypatch.setattr(Schedule, "_is_ready", counted)
    for _ in range(100):
        assert schedule.choose(node, 0, alone=True) is None
        assert not schedule.empty
    assert looked <= 200
