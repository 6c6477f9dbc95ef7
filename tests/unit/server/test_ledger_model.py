"""The ledger against a naive model that keeps one word for each task."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from farm.batch.ranges import RangeSet
from farm.batch.spec import Options
from farm.server.ledger import CRASH_LIMIT, Ledger, Verdict

NODES = (1, 2, 3)
OVER = ("done", "failed", "cancelled")


class NaiveBatch:
    """One batch: ``where[index]`` is ``pending``, a node's id, or the word of an outcome."""

    def __init__(self, total: int, retries: int) -> None:
        self.where: list[str | int] = ["pending"] * total
        self.retries = retries
        self.errors = [0] * total
        self.crashes = [0] * total
        self.open = False
        self.cancelled = False

    def held_by(self, node: int) -> list[int]:
        return [index for index, place in enumerate(self.where) if place == node]


def ranges_of(indices: list[int]) -> list[tuple[int, int]]:
    return list(RangeSet((index, index + 1) for index in indices))


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.batches: dict[int, NaiveBatch] = {}
        self.slots: dict[int, int] = {}
        self.recorded: dict[tuple[int, int], str | int] = {}

    def _batch(self, data: st.DataObject) -> tuple[int, NaiveBatch]:
        return data.draw(st.sampled_from(sorted(self.batches.items(), key=lambda item: item[0])))

    @rule(total=st.integers(0, 12), retries=st.integers(0, 2), priority=st.integers(0, 1),
          is_open=st.booleans())  # fmt: skip
    def submit(self, total: int, retries: int, priority: int, is_open: bool) -> None:
        batch = len(self.batches) + 1
        self.ledger.submit(batch, total, Options(retries, None, priority), open=is_open)
        self.batches[batch] = NaiveBatch(total, retries)
        self.batches[batch].open = is_open

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), more=st.integers(0, 8))
    def extend(self, data: st.DataObject, more: int) -> None:
        batch, naive = self._batch(data)
        self.ledger.extend(batch, len(naive.where) + more)
        if naive.open and not naive.cancelled:
            for filled in (naive.errors, naive.crashes):
                filled.extend([0] * more)
            naive.where.extend(["pending"] * more)

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
        over = not naive.open and all(place in OVER for place in naive.where)
        assert self.ledger.cancel(batch) is not (over or naive.cancelled)
        if not over and not naive.cancelled:
            naive.cancelled, naive.open = True, False
            naive.where = [place if place in OVER else "cancelled" for place in naive.where]

    @rule(node=st.sampled_from(NODES), slots=st.integers(1, 4))
    def join(self, node: int, slots: int) -> None:
        """Also as a node that is there already, with another number of slots."""
        self.ledger.join(node, f"n{node}", slots)
        self.slots[node] = slots

    @rule(node=st.sampled_from(NODES))
    def leave(self, node: int) -> None:
        self.ledger.leave(node)
        self.slots.pop(node, None)
        for naive in self.batches.values():
            naive.where = ["pending" if place == node else place for place in naive.where]

    @precondition(lambda self: self.slots)
    @rule(data=st.data(), free=st.integers(1, 4))
    def lease(self, data: st.DataObject, free: int) -> None:
        node = data.draw(st.sampled_from(sorted(self.slots)))
        waiting = {b: n for b, n in self.batches.items() if "pending" in n.where}
        grant = self.ledger.lease(node, free)
        if grant is None:
            assert not waiting
            return
        best = max(self.ledger.batches[batch].options.priority for batch in waiting)
        least = min(
            self._busy(batch) for batch in waiting
            if self.ledger.batches[batch].options.priority == best
        )  # fmt: skip
        assert self.ledger.batches[grant.batch].options.priority == best
        self._take(node, grant.batch, grant.ranges, least)

    def _take(
        self, node: int, batch: int, ranges: list[tuple[int, int]], least: int | None
    ) -> None:
        naive = self.batches[batch]
        assert least is None or self._busy(batch) == least
        first = naive.where.index("pending")
        assert ranges[0][0] == first
        for start, stop in ranges:
            assert naive.where[start:stop] == ["pending"] * (stop - start)
            naive.where[start:stop] = [node] * (stop - start)

    @precondition(lambda self: self.slots and self.batches)
    @rule(data=st.data())
    def lease_one(self, data: st.DataObject) -> None:
        node = data.draw(st.sampled_from(sorted(self.slots)))
        batch, naive = self._batch(data)
        index = self.ledger.lease_one(node, batch)
        if index is None:
            assert "pending" not in naive.where
        else:
            self._take(node, batch, [(index, index + 1)], None)

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), node=st.integers(0, 3), start=st.integers(0, 12),
          length=st.integers(1, 12))  # fmt: skip
    def complete(self, data: st.DataObject, node: int, start: int, length: int) -> None:
        """By whoever: the holder, another node, one that is gone."""
        batch, naive = self._batch(data)
        fresh = self.ledger.complete(node, batch, start, start + length, seconds=0.1 * length)
        owed = [i for i in range(start, min(start + length, len(naive.where)))
                if naive.where[i] not in OVER]  # fmt: skip
        assert fresh == ranges_of(owed)
        for index in owed:
            naive.where[index] = "done"

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), node=st.sampled_from(NODES),
          kind=st.sampled_from(["error", "timeout", "crash"]))  # fmt: skip
    def fail(self, data: st.DataObject, node: int, kind: str) -> None:
        batch, naive = self._batch(data)
        index = data.draw(st.integers(0, max(0, len(naive.where) - 1)))
        verdict = self.ledger.fail(node, batch, index, kind)
        if not naive.where or naive.where[index] != node:
            assert verdict is Verdict.DROPPED
            return
        if kind == "crash":
            naive.crashes[index] += 1
            again = naive.crashes[index] < CRASH_LIMIT
        else:
            naive.errors[index] += 1
            again = naive.errors[index] <= naive.retries
        assert verdict is (Verdict.RETRY if again else Verdict.FINAL)
        naive.where[index] = "pending" if again else "failed"

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), node=st.sampled_from(NODES), start=st.integers(0, 12),
          length=st.integers(1, 12))  # fmt: skip
    def give_back(self, data: st.DataObject, node: int, start: int, length: int) -> None:
        batch, naive = self._batch(data)
        self.ledger.give_back(node, batch, [(start, start + length)])
        for index in naive.held_by(node):
            if start <= index < start + length:
                naive.where[index] = "pending"

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def present(self, data: st.DataObject) -> None:
        """A node says what it holds: some of it true, some long forgotten, some never so."""
        node = data.draw(st.sampled_from(sorted(self.slots)))
        claims = {
            batch: data.draw(st.lists(st.integers(0, len(naive.where) + 2), max_size=8))
            for batch, naive in self.batches.items()
        }
        held = [(batch, ranges_of(claim)) for batch, claim in claims.items() if claim]
        unknown = (99, [(0, 5)])
        dropped = dict(self.ledger.present(node, [*held, unknown]))
        assert dropped.pop(99) == [(0, 5)]
        for batch, claim in claims.items():
            naive = self.batches[batch]
            kept = [
                i for i in claim if i < len(naive.where) and naive.where[i] in (node, "pending")
            ]
            for index in naive.held_by(node):
                naive.where[index] = "pending"
            for index in kept:
                naive.where[index] = node
            lost = sorted(set(claim) - set(kept))
            assert RangeSet(dropped.get(batch, [])) == RangeSet(ranges_of(lost))

    def _busy(self, batch: int) -> int:
        naive = self.batches[batch]
        return sum(min(slots, len(naive.held_by(node))) for node, slots in self.slots.items())

    @invariant()
    def every_task_is_in_exactly_one_place(self) -> None:
        for batch, naive in self.batches.items():
            state = self.ledger.batches[batch]
            places: list[str | int | None] = [None] * len(naive.where)
            sets = {"pending": state.pending, "done": state.done, "failed": state.failed}
            for word, found in [*sets.items(), *state.leased.items()]:
                for start, stop in found:
                    assert places[start:stop] == [None] * (stop - start)
                    places[start:stop] = [word] * (stop - start)
            gone = "cancelled" if naive.cancelled else None
            assert [place or gone for place in places] == naive.where

    @invariant()
    def counters_are_what_counting_gives(self) -> None:
        for batch, naive in self.batches.items():
            state = self.ledger.batches[batch]
            assert state.running == sum(isinstance(place, int) for place in naive.where)
            assert state.busy == self._busy(batch)
            assert state.dropped == naive.where.count("cancelled")
            assert state.total == len(naive.where)
            over = all(place in OVER for place in naive.where)
            assert state.ended is (naive.cancelled or (over and not naive.open))
            assert all(state.leased.values()), "an empty lease is kept"
        for node, known in self.ledger.nodes.items():
            holds = {batch for batch, naive in self.batches.items() if naive.held_by(node)}
            assert known.batches == holds
        assert self.ledger._slots == sum(self.slots.values())

    @invariant()
    def an_outcome_never_changes(self) -> None:
        for batch, naive in self.batches.items():
            for index, place in enumerate(naive.where):
                if place in OVER:
                    assert self.recorded.setdefault((batch, index), place) == place
        for (batch, index), word in self.recorded.items():
            assert self.batches[batch].where[index] == word

    @invariant()
    def attempts_are_counted(self) -> None:
        for batch, naive in self.batches.items():
            state = self.ledger.batches[batch]
            for index in range(len(naive.where)):
                made = naive.errors[index] + naive.crashes[index]
                assert state.attempts.get(index, 0) == made
            failed = naive.where.count("failed")
            assert state.retried == sum(naive.errors) + sum(naive.crashes) - failed


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
