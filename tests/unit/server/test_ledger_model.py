"""The ledger against a naive model that keeps one word for each task.

What is promised of every step stands in `farm_ledger_truths`; what a step itself promises
stands in its rule.
"""

from __future__ import annotations

from farm_ledger_model import OVER, NaiveBatch, NaiveTask, indices_of, ranges_of
from farm_ledger_truths import LedgerTruths
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.server.attempts import Wanted
from farm.server.ledger import MAX_STRICT, SILENT_SECONDS
from farm.server.states import Verdict

NODES = (1, 2, 3)
KINDS = ("error", "timeout", "unpicklable", "upstream", "crash", "lost")

# All durations are multiples of 1/4 and rates powers of 2, so that no sum of them is rounded.
OPTIONS = st.builds(
    Options,
    retries=st.integers(0, 3),
    priority=st.integers(0, 1),
    delay=st.sampled_from([0.0, 0.0, 2.0, 40.0]),
    backoff=st.sampled_from([1.0, 2.0]),
    jitter=st.sampled_from([0.0, 0.5]),
    crash_limit=st.integers(1, 3),
    max_failures=st.none() | st.integers(0, 2),
    max_failure_share=st.none() | st.sampled_from([0.0, 0.25, 0.5]),
    rerun=st.sampled_from([True, True, False]),
    max_parallel=st.none() | st.integers(1, 3),
    rate=st.none() | st.sampled_from([0.25, 1.0, 2.0, 64.0]),
)
SOME_RANGES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 6)).map(lambda r: (r[0], r[0] + r[1])), max_size=3
)


class LedgerMachine(LedgerTruths):
    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """With something to do, and somebody who could."""
        for node in NODES:
            self.join(node, data.draw(st.integers(1, 4)))
        for _ in range(3):
            self.submit(
                data.draw(st.integers(1, 12)), data.draw(OPTIONS), is_open=False, paused=False
            )

    # -- batches ------------------------------------------------------------------------------

    @rule(total=st.integers(0, 12), options=OPTIONS, is_open=st.booleans(),
          paused=st.sampled_from([False, False, False, True]))  # fmt: skip
    def submit(self, total: int, options: Options, is_open: bool, paused: bool) -> None:
        self.last += 1
        self.ledger.submit(self.last, total, options, open=is_open, paused=paused)
        self.batches[self.last] = NaiveBatch(
            total, options, open=is_open, paused=paused, since=self.now
        )

    @rule(total=st.integers(1, 12), options=st.sampled_from([Options(), Options(retries=3)]))
    def submit_plain(self, total: int, options: Options) -> None:
        """Without limits, so that leases are not rare."""
        self.submit(total, options, is_open=False, paused=False)

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), more=st.integers(0, 8))
    def extend(self, data: st.DataObject, more: int) -> None:
        batch, naive = self._batch(data)
        self.ledger.extend(batch, len(naive.tasks) + more)
        if naive.open:
            naive.tasks.extend(NaiveTask() for _ in range(more))

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        batch, naive = self._batch(data)
        self.ledger.close(batch)
        naive.open = False

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        batch, naive = self._batch(data)
        assert self.ledger.cancel(batch) is not naive.ended
        if not naive.ended:
            naive.cancelled, naive.open, naive.paused = True, False, False
            for task in naive.tasks:
                task.where = task.where if task.where in OVER else "dropped"

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        batch, naive = self._batch(data)
        changes = not naive.paused and not naive.ended
        assert self.ledger.pause(batch) is changes
        naive.paused = naive.paused or changes

    @precondition(lambda self: any(naive.paused for naive in self.batches.values()))
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        batch, naive = self._batch(data)
        assert self.ledger.resume(batch) is naive.paused
        if naive.paused:
            naive.resumed(self.now)
        naive.paused = False

    @precondition(lambda self: any(n.all("failed", "dropped") for n in self.batches.values()))
    @rule(data=st.data(), ranges=st.none() | st.none() | SOME_RANGES, failed_only=st.booleans(),
          most=st.sampled_from([1, 2, 100]))  # fmt: skip
    def retry(
        self,
        data: st.DataObject,
        ranges: list[tuple[int, int]] | None,
        failed_only: bool,
        most: int,
    ) -> None:
        some = [batch for batch, naive in self.batches.items() if naive.all("failed", "dropped")]
        batch = data.draw(st.sampled_from(some))
        naive = self.batches[batch]
        wanted = range(len(naive.tasks)) if ranges is None else indices_of(ranges)
        failed = sorted(set(naive.all("failed")) & set(wanted))
        dropped = [] if failed_only else sorted(set(naive.all("dropped")) & set(wanted))
        counted = {
            index
            for index in (*failed, *dropped)
            for task in [naive.tasks[index]]
            if (task.errors or task.crashes) and task.attempts > (index in failed)
        }
        pages = [self.ledger.retry(batch, Wanted(ranges, failed_only, 0, most))]
        while start := pages[-1].further:
            pages.append(self.ledger.retry(batch, Wanted(ranges, failed_only, start, most)))
        assert all(page.failed.count <= most for page in pages)
        assert indices_of(part for page in pages for part in page.failed) == failed
        assert indices_of(part for page in pages for part in page.dropped) == dropped
        excused = {i for page in pages for part in page.excused for i in range(*part)}
        assert counted <= excused <= {*failed, *dropped}
        naive.retried += len(failed)
        for index in (*failed, *dropped):
            naive.tasks[index] = NaiveTask(attempts=naive.tasks[index].attempts)
            naive.once.discard(index)
            self.recorded.pop((batch, index))
        naive.cancelled = bool(naive.all("dropped"))

    @precondition(lambda self: any(naive.ended for naive in self.batches.values()))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        ended = [batch for batch, naive in self.batches.items() if naive.ended]
        batch = data.draw(st.sampled_from(ended))
        self.ledger.forget(batch)
        del self.batches[batch]
        self.recorded = {key: word for key, word in self.recorded.items() if key[0] != batch}

    # -- nodes --------------------------------------------------------------------------------

    @rule(node=st.sampled_from(NODES), slots=st.integers(1, 4))
    def join(self, node: int, slots: int) -> None:
        """Also as a node that is there already, with another number of slots."""
        self.ledger.join(node, f"n{node}", slots, now=self.now)
        self.slots[node], self.heard[node] = slots, self.now

    @rule(node=st.sampled_from(NODES))
    def heartbeat(self, node: int) -> None:
        assert self.ledger.heartbeat(node, self.now) is (node in self.slots)
        if node in self.slots:
            self.heard[node] = self.now

    @rule(node=st.sampled_from(NODES))
    def leave(self, node: int) -> None:
        lost = self.ledger.leave(node)
        self._forget(node, lost)

    @rule()
    def expire(self) -> None:
        silent = [n for n in self.slots if self.now - self.heard[n] > SILENT_SECONDS]
        assert sorted(self.ledger.expire(self.now)) == sorted(silent)
        for node in silent:
            self._forget(node, self.ledger.leave(node))

    def _forget(self, node: int, lost: list[tuple[int, RangeSet]]) -> None:
        expected = []
        for batch, naive in sorted(self.batches.items()):
            held = naive.all(node)
            if held and not naive.options.rerun:
                expected.append((batch, ranges_of(held)))
            for index in held:
                task = naive.tasks[index]
                task.where = "pending" if naive.options.rerun else "failed"
                task.attempts += not naive.options.rerun
        assert [(batch, list(ranges)) for batch, ranges in lost] == expected
        self.slots.pop(node, None)
        self.draining.discard(node)

    @precondition(lambda self: len(set(self.slots) - self.draining) > 1)
    @rule(data=st.data())
    def drain(self, data: st.DataObject) -> None:
        node = data.draw(st.sampled_from(sorted(self.slots)))
        self.ledger.drain(node)
        self.draining.add(node)

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def present(self, data: st.DataObject) -> None:
        """A node says what it holds: some of it true, some long forgotten, some never so."""
        node = data.draw(st.sampled_from(sorted(self.slots)))
        claims = {
            batch: data.draw(st.lists(st.integers(0, len(naive.tasks) + 2), max_size=8))
            for batch, naive in self.batches.items()
        }
        held = {batch: ranges_of(claim) for batch, claim in claims.items() if claim}
        unknown = self.last + 1
        dropped = dict(self.ledger.present(node, {**held, unknown: [(0, 5)]}))
        assert dropped.pop(unknown) == [(0, 5)]
        for batch, claim in claims.items():
            self._claim(batch, node, set(claim), dropped.get(batch, []))

    def _most(self, node: int) -> int:
        """Tasks that a node may bring back of a batch whose tasks are leased to idle slots."""
        return MAX_STRICT * self.ledger.nodes[node].slots

    def _claim(
        self, batch: int, node: int, claim: set[int], dropped: list[tuple[int, int]]
    ) -> None:
        naive = self.batches[batch]
        kept = claim & set(naive.all(node, "pending", "again"))
        owned = set(naive.all(node))
        if self.ledger.batches[batch].strict and len(claim - owned) > self._most(node):
            kept = claim & owned
        for index in naive.all(node):
            naive.tasks[index].where = "pending"
            naive.once.discard(index)
        for index in kept:
            naive.tasks[index].where = node
            naive.once.add(index)
        assert RangeSet(dropped) == RangeSet(ranges_of(sorted(claim - kept)))

    # -- leases -------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0, 2.0, 15.0, 60.0, 300.0]))
    def time_passes(self, seconds: float) -> None:
        """The ledger is woken whenever it asks for it, as by the server."""
        until = self.now + seconds
        for _ in range(10_000):
            when = self.ledger.next_time
            if when is None or when > until:
                break
            assert when > self.now or seconds == 0.0, "woken for nothing, again and again"
            self.now = max(self.now, when)
            self.ledger.wake(self.now)
        else:
            raise AssertionError("woken again and again")
        self.now = until
        self.ledger.wake(until)

    @precondition(lambda self: set(self.slots) - self.draining)
    @rule(data=st.data(), nodes=st.integers(1, 6))
    def lease_to_idle_nodes(self, data: st.DataObject, nodes: int) -> None:
        for _ in range(nodes):
            self.lease(data, free=4, idle=4)

    @precondition(lambda self: set(self.slots) - self.draining)
    @rule(data=st.data(), free=st.integers(1, 4), idle=st.integers(0, 4))
    def lease(self, data: st.DataObject, free: int, idle: int) -> None:
        node = data.draw(st.sampled_from(sorted(set(self.slots) - self.draining)))
        idle = min(idle, free)
        counts = self._counts(node, idle)
        grant = self.ledger.lease(node, free, idle=idle, now=self.now)
        if grant is None:
            found = [self._rank(batch) for batch, (must, _) in counts.items() if must]
            assert not found or (not idle and self._waits_for_idle(node) <= min(found))
            self._check_exhausted()
            return
        naive, size = self.batches[grant.batch], sum(b - a for a, b in grant.ranges)
        must, may = counts[grant.batch]
        assert min(free, must) <= size <= may
        assert 0 < size <= idle or not naive.strict
        ranks = [self._rank(batch) for batch, (least, _) in counts.items() if least]
        assert self._rank(grant.batch) <= min(ranks, default=(9, 9))
        self._take(node, grant.batch, grant.ranges, anywhere=self._alone(node))

    def _counts(self, node: int, idle: int) -> dict[int, tuple[int, int]]:
        alone = self._alone(node)
        return {
            batch: naive.count_for(f"n{node}", self.now, alone=alone, idle=idle)
            for batch, naive in self.batches.items()
        }

    def _waits_for_idle(self, node: int) -> tuple[int, int]:
        """The rank of the first batch that would give the node something if a slot were idle."""
        counts = self._counts(node, 1)
        ranks = [self._rank(b) for b, (_, may) in counts.items() if may and self.batches[b].strict]
        return min(ranks, default=(9, 9))

    def _rank(self, batch: int) -> tuple[int, int]:
        return -self.batches[batch].options.priority, self._busy(batch)

    def _check_exhausted(self) -> None:
        ready = [naive for naive in self.batches.values() if naive.room(self.now)]
        some = any(
            task.where == "pending" or (task.where == "again" and task.due <= self.now)
            for naive in ready for task in naive.tasks
        )  # fmt: skip
        assert self.ledger.exhausted is not some

    def _take(
        self, node: int, batch: int, ranges: list[tuple[int, int]], *, anywhere: bool
    ) -> None:
        naive, taken = self.batches[batch], indices_of(ranges)
        assert not naive.paused
        assert len(taken) == len(set(taken))
        plain = [index for index in taken if naive.tasks[index].where == "pending"]
        assert plain == naive.all("pending")[: len(plain)]
        for index in taken:
            task = naive.tasks[index]
            assert task.may_go(f"n{node}", self.now, alone=anywhere)
            assert naive.options.rerun or index not in naive.once
            task.where = node
        naive.once.update(taken)
        naive.begun.append((self.now, len(taken)))
        limit = naive.options.max_parallel
        assert limit is None or naive.running <= limit
        if naive.options.rate:
            naive.check_pace()

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def lease_one(self, data: st.DataObject) -> None:
        """As for plain clients: their batch has no limits, and they do not choose."""
        node = data.draw(st.sampled_from(sorted(self.slots)))
        found = [b for b, n in self.batches.items() if not n.strict and not n.paused]
        if not found:
            return
        batch = data.draw(st.sampled_from(found))
        index = self.ledger.lease_one(node, batch)
        if index is not None:
            self._take(node, batch, [(index, index + 1)], anywhere=True)
        else:
            tasks = self.batches[batch].tasks
            assert not any(task.may_go("", self.now, alone=True) for task in tasks)

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), node=st.sampled_from(NODES), start=st.integers(0, 12),
          length=st.integers(1, 12))  # fmt: skip
    def give_back(self, data: st.DataObject, node: int, start: int, length: int) -> None:
        batch, naive = self._batch(data)
        had = [index for index in naive.all(node) if start <= index < start + length]
        returned = self.ledger.give_back(node, batch, [(start, start + length)])
        assert list(returned) == ranges_of(had)
        for index in had:
            naive.tasks[index].where = "pending"
            naive.once.discard(index)

    # -- outcomes -----------------------------------------------------------------------------

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), node=st.integers(0, 3), start=st.integers(0, 12),
          length=st.integers(1, 12))  # fmt: skip
    def complete(self, data: st.DataObject, node: int, start: int, length: int) -> None:
        """By whoever: the holder, another node, one that is gone."""
        self._complete(self._batch(data)[0], node, start, length)

    @precondition(lambda self: any(n.all("failed", "dropped") for n in self.batches.values()))
    @rule(data=st.data(), node=st.integers(0, 3), length=st.integers(1, 3))
    def complete_too_late(self, data: st.DataObject, node: int, length: int) -> None:
        over = [(b, i) for b, n in self.batches.items() for i in n.all("failed", "dropped")]
        batch, index = data.draw(st.sampled_from(over))
        self._complete(batch, node, index, length)

    def _complete(self, batch: int, node: int, start: int, length: int) -> None:
        naive = self.batches[batch]
        fresh = self.ledger.complete(node, batch, start, start + length, seconds=2.0 * length)
        owed = [i for i in range(start, min(start + length, len(naive.tasks)))
                if naive.tasks[i].where not in OVER]  # fmt: skip
        assert fresh == ranges_of(owed)
        for index in owed:
            naive.tasks[index].where = "done"

    @precondition(lambda self: any(naive.running for naive in self.batches.values()))
    @rule(data=st.data(), kind=st.sampled_from(("error", "error", *KINDS)),
          chance=st.sampled_from([0.0, 0.5, 1.0]), times=st.integers(1, 4))  # fmt: skip
    def fail_what_runs(self, data: st.DataObject, kind: str, chance: float, times: int) -> None:
        for _ in range(times):
            running = [batch for batch, naive in self.batches.items() if naive.running]
            if running:
                batch = data.draw(st.sampled_from(running))
                self._fail(data, batch, 0, kind, chance)

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), node=st.sampled_from(NODES), kind=st.sampled_from(KINDS),
          chance=st.sampled_from([0.0, 0.5, 1.0]))  # fmt: skip
    def fail(self, data: st.DataObject, node: int, kind: str, chance: float) -> None:
        """By whoever."""
        self._fail(data, self._batch(data)[0], node, kind, chance)

    def _fail(self, data: st.DataObject, batch: int, node: int, kind: str, chance: float) -> None:
        """By the holder if ``node`` is 0."""
        naive = self.batches[batch]
        held = [index for index, task in enumerate(naive.tasks) if isinstance(task.where, int)]
        index = data.draw(st.sampled_from(held) if held else st.integers(0, 12))
        node = node or int(naive.tasks[index].where)
        self.chance = chance
        verdict, delay = self.ledger.fail(node, batch, index, kind, now=self.now)
        if index >= len(naive.tasks) or naive.tasks[index].where != node:
            assert (verdict, delay) == (Verdict.DROPPED, 0.0)
            return
        task, options = naive.tasks[index], naive.options
        before = task.errors + task.crashes
        again = naive.failed(task, kind)
        if not again:
            assert (verdict, delay) == (Verdict.FINAL, 0.0)
            task.where = "failed"
            return
        naive.retried += 1
        jitter = 1.0 + options.jitter * (2 * chance - 1)
        assert (verdict, delay) == (
            Verdict.RETRY, options.delay * options.backoff**before * jitter
        )  # fmt: skip
        task.wait(self.now + delay, "" if node in self.draining else f"n{node}")


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
