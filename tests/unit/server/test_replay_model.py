"""Replay equals life: whatever was done to a server, the next one on its journal knows the same.

Only who holds what is forgotten, as nodes present that themselves; what must not run twice is
remembered with its node.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from farm_service import Hand, World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from farm.batch.ranges import RangeSet
from farm.server.states import Batch
from farm.wire.controls import Forget, Pause, Restore, Resume, Retry
from farm.wire.messages import Append, Block, Cancel, Failure, Outcome, Refused

NODES = ("a", "b", "c")
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "retries": st.integers(0, 3), "delay": st.sampled_from([0.0, 3.0, 100.0]),
        "backoff": st.sampled_from([1.0, 2.0]), "crash_limit": st.integers(1, 3),
        "max_failures": st.integers(0, 2), "max_failure_share": st.sampled_from([0.0, 0.5]),
        "rerun": st.just(False), "max_parallel": st.integers(1, 3), "rate": st.just(4.0),
    },
)  # fmt: skip


def waits(state: Batch, now: float) -> dict[int, tuple[float, str]]:
    """Seconds until each delayed task is due, and the node that it is kept from."""
    again = state.again
    return {i: (round(again._when[i] - now, 3), node) for i, node in again._later.items()}


def known(world: World, batch: int) -> dict[str, Any]:
    """All that a server knows of a batch and that must outlive it.

    Of a task that has failed for good it is of no account how often which limit was used up: they
    begin anew if it is tried again.
    """
    state, info = world.ledger.batches[batch], world.core.infos[batch]
    held = [part for ranges in state.leased.values() for part in ranges]
    free = [*state.pending, *state.again]
    if state.options.rerun:
        free += held
    counts = {
        name: {i: n for i, n in found.items() if n and i not in state.failed}
        for name, found in (("errors", state.errors), ("crashes", state.crashes))
    }
    later = waits(state, world.clock.time())
    ghosts = {world.ledger.nodes[n].name: list(r) for n, r in state.leased.items()}
    return {
        "where": (list(state.done), list(state.failed), list(state.dropped), RangeSet(free).copy()),
        "ghosts": {} if state.options.rerun else ghosts,
        "flags": (state.total, state.open, state.paused, state.cancelled, state.ended),
        "attempts": {i: n for i, n in state.attempts.items() if n},
        "counts": counts,
        "retried": state.retried,
        "later": {i: wait for i, wait in later.items() if i not in RangeSet(held)},
        "seconds": pytest.approx(state.seconds, abs=1e-6),
        "shares": {
            n: (s.done, pytest.approx(s.seconds, abs=1e-6)) for n, s in state.shares.items()
        },
        "info": (info.name, info.submitted, info.started, info.ended, info.reason),
    }


class ReplayMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.world = World(Path(self.directory.name))
        self.hands = {name: Hand(self.world, name) for name in NODES}
        self.batches: list[int] = []
        self.used: set[int] = set()
        self.seqs: set[int] = set()
        self.highest = 0

    def teardown(self) -> None:
        self.restart(away=1.0)
        self.world.kill()
        self.directory.cleanup()

    @initialize(options=OPTIONS)
    def begin(self, options: dict[str, Any]) -> None:
        for wanted in ({}, {"retries": 2, "delay": 50.0}, {"rerun": False}, options):
            self.submit(6, wanted, False, False)
        self.all_want()

    @rule(total=st.integers(0, 9), options=OPTIONS, is_open=st.booleans(), paused=st.booleans())
    def submit(self, total: int, options: dict[str, Any], is_open: bool, paused: bool) -> None:
        batch = self.world.submit(0 if is_open else total, open=is_open, paused=paused, **options)
        assert batch not in self.used, "an id was given again"
        self.used.add(batch)
        self.batches.append(batch)

    @precondition(lambda self: self._open())
    @rule(data=st.data(), more=st.integers(1, 5), close=st.booleans())
    def append(self, data: st.DataObject, more: int, close: bool) -> None:
        batch = data.draw(st.sampled_from(self._open()))
        total = self.world.ledger.batches[batch].total
        self.world.ask(Append(batch, [Block(total, total + more, b"items")], close=close))

    def _open(self) -> list[int]:
        return [batch for batch in self.batches if self.world.ledger.batches[batch].open]

    @rule(name=st.sampled_from(NODES), free=st.integers(1, 4))
    def want(self, name: str, free: int) -> None:
        self.hands[name].slots = 4
        self.hands[name].want(free)

    @rule()
    def all_want(self) -> None:
        for name in NODES:
            self.want(name, 2)

    @rule(kind=st.sampled_from(["error", "crash"]))
    def all_fail(self, kind: str) -> None:
        """The first task that each node has."""
        for name in NODES:
            for batch, ranges in self._held(name)[:1]:
                self.hands[name].report(batch, failed=[ranges[0][0]], kind=kind)

    @rule(data=st.data(), name=st.sampled_from(NODES), what=st.sampled_from(["done", "error"]),
          kind=st.sampled_from(["error", "error", "timeout", "crash", "lost"]))  # fmt: skip
    def report(self, data: st.DataObject, name: str, what: str, kind: str) -> None:
        for batch, ranges in self._held(name):
            part = data.draw(st.sampled_from(ranges))
            if what == "done":
                self.hands[name].report(batch, done=[part])
            else:
                self.hands[name].report(batch, failed=list(range(*part))[:2], kind=kind)

    def _held(self, name: str) -> list[tuple[int, list[tuple[int, int]]]]:
        ledger = self.world.ledger
        node = next(n for n in ledger.nodes.values() if n.name == name)
        return [(b, list(ledger.batches[b].leased[node.id])) for b in sorted(node.batches)]

    @rule(data=st.data(), name=st.sampled_from(NODES))
    def give_back(self, data: st.DataObject, name: str) -> None:
        for batch, ranges in self._held(name):
            self.hands[name].report(batch, returned=[data.draw(st.sampled_from(ranges))])

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), request=st.sampled_from([Pause, Resume, Resume, Cancel]))
    def control(self, data: st.DataObject, request: Any) -> None:
        self.world.ask(request(str(data.draw(st.sampled_from(self.batches)))))

    @precondition(lambda self: self._with("failed", "dropped"))
    @rule(data=st.data(), failed=st.booleans(),
          ranges=st.lists(st.sampled_from([(0, 1), (0, 3), (2, 4)]), max_size=2))  # fmt: skip
    def retry(self, data: st.DataObject, failed: bool, ranges: list[tuple[int, int]]) -> None:
        batch = data.draw(st.sampled_from(self._with("failed", "dropped")))
        self.world.ask(Retry(str(batch), ranges, failed))

    def _with(self, *places: str) -> list[int]:
        states = [self.world.ledger.batches[batch] for batch in self.batches]
        return [state.id for state in states if any(getattr(state, place) for place in places)]

    @precondition(lambda self: len(self.batches) > 4)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        ended = self.world.ledger.batches[batch].ended
        assert isinstance(self.world.ask(Forget(batch)), Refused) is not ended
        if ended:
            self.batches.remove(batch)

    @rule(total=st.integers(1, 6), data=st.data())
    def restore(self, total: int, data: st.DataObject) -> None:
        self.submit(total, {"retries": 1}, False, True)
        batch, outcomes = self.batches[-1], []
        for index in data.draw(st.sets(st.integers(0, total - 1))):
            failure = Failure("error", "E", "", "") if data.draw(st.booleans()) else None
            attempts = data.draw(st.integers(1, 3))
            outcomes.append(
                Outcome(index, index + 1, "far", 0.5, 0, b"p", b"\0\0\0\0", failure,
                        [(index, attempts)])
            )  # fmt: skip
        for _ in range(2):
            assert not isinstance(self.world.ask(Restore(batch, outcomes)), Refused)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        """All nodes are heard of all the time."""
        for _ in range(max(1, int(seconds / 5))):
            self.world.clock.pass_time(min(seconds, 5.0))
            for node in self.world.ledger.nodes.values():
                node.heard = self.world.clock.time()

    @rule(name=st.sampled_from(NODES))
    def a_node_dies(self, name: str) -> None:
        hand = self.hands[name]
        node = next(n for n in self.world.ledger.nodes.values() if n.name == name)
        hand.go()
        node.heard -= 60.0
        self.world.service.sweep()
        self.world.clock.turn()
        self.hands[name] = Hand(self.world, name, token=f"{hand.token}+")

    @rule(away=st.sampled_from([0.0, 0.5, 20.0]))
    def restart(self, away: float) -> None:
        """And the nodes come back with what they hold."""
        world = self.world
        world.clock.turn()
        before = {batch: known(world, batch) for batch in self.batches}
        seq = world.core.highest
        world.restart(away=away)
        assert sorted(world.core.infos) == sorted(self.batches)
        assert world.core.highest == seq
        for batch in self.batches:
            late = before[batch].pop("later")
            now = known(world, batch)
            left = {i: (round(w - away, 3), n) for i, (w, n) in late.items() if w > away}
            assert now.pop("later") == left
            for what, value in now.items():
                assert value == before[batch][what], (what, value, before[batch][what])
        for hand in self.hands.values():
            hand.join()

    @invariant()
    def places_of_outcomes_only_rise(self) -> None:
        highest = self.world.core.highest[1]
        assert highest >= self.highest
        self.highest = highest
        rows = self.world.journal._db.execute("SELECT seq, batch, start FROM outcomes").fetchall()
        assert all(seq <= highest for seq, _, _ in rows)
        assert not self.world.given_up


TestReplay = ReplayMachine.TestCase
TestReplay.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
