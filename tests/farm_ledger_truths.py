"""What is true of a ledger after every step, as the invariants of a state machine.

Apart from the rules that make the steps (`tests/unit/server/test_ledger_model.py`).
"""

from __future__ import annotations

from farm_ledger_model import OVER, NaiveBatch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from farm.server.ledger import Ledger


class LedgerTruths(RuleBasedStateMachine):
    """A ledger, and the naive model that is changed alike."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.chance = 0.5
        self.ledger = Ledger(lambda: self.chance)
        self.batches: dict[int, NaiveBatch] = {}
        self.last = 0
        self.slots: dict[int, int] = {}
        self.heard: dict[int, float] = {}
        self.draining: set[int] = set()
        self.recorded: dict[tuple[int, int], str | int] = {}

    def _batch(self, data: st.DataObject) -> tuple[int, NaiveBatch]:
        return data.draw(st.sampled_from(sorted(self.batches.items(), key=lambda item: item[0])))

    def _alone(self, node: int) -> bool:
        return not set(self.slots) - self.draining - {node}

    def _busy(self, batch: int) -> int:
        naive = self.batches[batch]
        return sum(min(slots, len(naive.all(node))) for node, slots in self.slots.items())

    @invariant()
    def every_task_is_in_exactly_one_place(self) -> None:
        assert self.ledger.batches.keys() == self.batches.keys()
        for batch, naive in self.batches.items():
            state = self.ledger.batches[batch]
            places: list[str | int | None] = [None] * len(naive.tasks)
            sets = {
                "pending": state.pending, "again": state.again, "done": state.done,
                "failed": state.failed, "dropped": state.dropped,
            }  # fmt: skip
            for word, found in [*sets.items(), *state.leased.items()]:
                for start, stop in found:
                    assert places[start:stop] == [None] * (stop - start)
                    places[start:stop] = [word] * (stop - start)
            assert places == [task.where for task in naive.tasks]

    @invariant()
    def counters_are_what_counting_gives(self) -> None:
        for batch, naive in self.batches.items():
            state = self.ledger.batches[batch]
            assert state.running == naive.running
            assert state.busy == self._busy(batch)
            assert state.waiting == len(naive.all("pending", "again"))
            assert state.dropped.count == len(naive.all("dropped"))
            assert state.total == len(naive.tasks)
            assert state.ended is naive.ended
            assert state.is_broken is naive.is_broken
            flags = (state.open, state.paused, state.cancelled)
            assert flags == (naive.open, naive.paused, naive.cancelled)
            assert all(state.leased.values()), "an empty lease is kept"
        for node, known in self.ledger.nodes.items():
            holds = {batch for batch, naive in self.batches.items() if naive.all(node)}
            assert known.batches == holds
            assert known.draining is (node in self.draining)
        assert self.ledger._slots == sum(self.slots.values())

    @invariant()
    def an_outcome_changes_only_where_somebody_wants_it_retried(self) -> None:
        for batch, naive in self.batches.items():
            for index, task in enumerate(naive.tasks):
                if task.where in OVER:
                    assert self.recorded.setdefault((batch, index), task.where) == task.where
        for (batch, index), word in self.recorded.items():
            assert self.batches[batch].tasks[index].where == word

    @invariant()
    def attempts_are_counted(self) -> None:
        for batch, naive in self.batches.items():
            state = self.ledger.batches[batch]
            for index, task in enumerate(naive.tasks):
                found = (state.attempts, state.errors, state.crashes)
                assert [counts.get(index, 0) for counts in found] == [
                    task.attempts, task.errors, task.crashes
                ]  # fmt: skip
            assert state.retried == naive.retried

    @invariant()
    def the_next_time_is_not_too_late(self) -> None:
        """If time alone will bring work to an idle node, the ledger asks to be woken by then."""
        due = self.ledger.next_time
        for naive in self.batches.values():
            for when in naive.times(self.now):
                for node in set(self.slots) - self.draining:
                    name, alone = f"n{node}", self._alone(node)
                    now, _ = naive.count_for(name, self.now, alone=alone, idle=9)
                    then, _ = naive.count_for(name, when, alone=alone, idle=9)
                    assert now or not then or (due is not None and due <= when)
