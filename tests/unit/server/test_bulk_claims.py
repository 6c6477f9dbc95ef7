"""Very many ranges in one message: each kind is done as a whole, and right; none range by range.

A change of one range costs microseconds, and the others wait for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from farm_service import Hand, World

from farm.batch.ranges import RangeSet
from farm.server import claims, ledger
from farm.server.holding import hold
from farm.wire.controls import IMPORTING, Restore, Retry
from farm.wire.leases import Dropped, Held, Join, Leave, Part, Report, Unheard
from farm.wire.messages import Cancel, Done, Failure, Outcome

MANY = 1_000
FEW = 60
"""Changes of single ranges that a message may take, however many ranges it names."""

EVEN = [(2 * i, 2 * i + 1) for i in range(MANY)]
ODD = [(2 * i + 1, 2 * i + 2) for i in range(MANY)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Counts the changes of, and looks at, single ranges while something is done."""

    @contextmanager
    def counting() -> Iterator[None]:
        steps: list[str] = []
        with monkeypatch.context() as patch:
            for name in ("add", "discard", "_inside", "take"):
                plain = getattr(RangeSet, name)
                patch.setattr(RangeSet, name, counted(plain, steps))
            yield
        assert len(steps) < FEW, f"{len(steps)} steps"

    return counting


def counted(plain: Callable[..., object], steps: list[str]) -> Callable[..., object]:
    def step(*arguments: object) -> object:
        steps.append(plain.__name__)
        return plain(*arguments)

    return step


def fragmented(world: World, **options: object) -> int:
    """A batch of which every even index is done."""
    batch = world.submit(2 * MANY, **options)
    state = world.ledger.batches[batch]
    state.done, state.pending = RangeSet(EVEN), RangeSet(ODD)
    world.ledger.rank(state)
    return batch


def lease(world: World, batch: int, hand: Hand, ranges: list[tuple[int, int]]) -> None:
    """Have a node hold these pending ranges, as by leases."""
    state = world.ledger.batches[batch]
    state.pending -= RangeSet(ranges)
    hold(state, world.ledger.nodes[hand.joined.node], RangeSet(ranges))
    world.core._bonds.tie(hand.joined.node, hand.token, batch, ranges)
    world.core.plan_flush()
    world.clock.turn()


def test_all_that_nobody_else_has_is_taken_back(world, few_steps):
    batch = fragmented(world)
    hand = Hand(world, "node")
    with few_steps():
        joined = hand.join([Held(batch, ODD)])
    assert joined.drop == []
    assert list(world.ledger.batches[batch].leased[joined.node]) == ODD
    assert not world.ledger.batches[batch].pending


def test_what_it_has_it_keeps_and_what_it_lost_is_pending_again(world, few_steps):
    batch = fragmented(world)
    hand = Hand(world, "node")
    lease(world, batch, hand, ODD)
    with few_steps():
        joined = hand.join([Held(batch, ODD[: MANY // 2])])
    state = world.ledger.batches[batch]
    assert joined.drop == []
    assert list(state.leased[joined.node]) == ODD[: MANY // 2]
    assert list(state.pending) == ODD[MANY // 2 :]
    assert (state.running, state.busy) == (MANY // 2, 2)


@pytest.mark.parametrize("done", [EVEN, [(0, 2 * MANY)]], ids=["half is pending", "all is done"])
def test_what_is_in_more_pieces_than_any_node_can_hold_is_not_leased(world, monkeypatch, done):
    """However few ranges are claimed: the answer would be as long as the batch is in pieces."""
    monkeypatch.setattr(ledger, "MAX_CLAIMS", MANY - 1)
    batch = fragmented(world)
    state = world.ledger.batches[batch]
    state.done = RangeSet(done)
    state.pending = RangeSet([(0, 2 * MANY)]) - state.done
    pending = state.pending.copy()
    joined = Hand(world, "node").join([Held(batch, [(0, 2 * MANY)])])
    assert joined.drop == [Held(batch, [(0, 2 * MANY)])]
    assert (state.pending, state.leased) == (pending, {})


def test_of_a_part_in_very_many_pieces_the_first_are_taken_and_the_rest_is_done_again(
    world, monkeypatch
):
    """Each piece is journalled with a copy of all results."""
    monkeypatch.setattr(claims, "MAX_COPIES", 10 * 9_000)
    batch = fragmented(world)
    state = world.ledger.batches[batch]
    hand = Hand(world, "node")
    lease(world, batch, hand, ODD)
    part = Part(batch, 0, 2 * MANY, b"x" * 1_000, b"\0\0\0\0" * 2 * MANY)
    assert world.ask(Report([part], [], []), hand.peer) == Done()
    assert list(state.done) == [(0, 21), *EVEN[11:]]
    assert (list(state.pending), state.leased) == (ODD[10:], {})
    assert world.journal._db.execute("SELECT count(*) FROM outcomes").fetchone() == (10,)


def test_an_outcome_of_an_import_in_pieces_is_refused(world):
    """Each would be a row with a copy of it: no export has such a one."""
    batch = importing(world)
    assert world.ask(Restore(batch, [outcome(2, 3), outcome(6, 7)])) == Done()
    assert world.refused(Restore(batch, [outcome(0, 10)])) == "bad-request"
    assert list(world.ledger.batches[batch].done) == [(2, 3), (6, 7)]
    assert world.ask(Restore(batch, [outcome(2, 6)])) == Done()


def test_a_part_in_pieces_of_tasks_that_must_not_run_twice_is_refused(world, monkeypatch):
    monkeypatch.setattr(claims, "MAX_COPIES", 10 * 9_000)
    batch = fragmented(world, rerun=False)
    hand = Hand(world, "node")
    part = Part(batch, 0, 2 * MANY, b"x" * 1_000, b"\0\0\0\0" * 2 * MANY)
    assert world.ask(Report([part], [], []), hand.peer).code == "bad-request"
    assert list(world.ledger.batches[batch].pending) == ODD


@pytest.mark.parametrize("options", [{"rerun": False}, {"max_parallel": 1}, {"rate": 1.0}], ids=str)
def test_of_a_batch_that_leases_tasks_to_idle_slots_alone_nobody_has_very_many(world, options):
    """Each of them would be journalled, and a million begin although one at a time may."""
    batch = world.submit(10**12, **options)
    joined = Hand(world, "node").join([Held(batch, [(0, 10**12)])])
    state = world.ledger.batches[batch]
    assert joined.drop == [Held(batch, [(0, 10**12)])]
    assert (state.pending.count, state.leased) == (10**12, {})
    world.clock.turn()
    assert world.journal._db.execute("SELECT count(*) FROM begun").fetchone() == (0,)


@pytest.mark.parametrize("order", ["as they are", "backwards", "twice", "overlapping"])
def test_what_others_hold_or_is_done_is_to_be_dropped(world, few_steps, order):
    batch = fragmented(world)
    other, third = Hand(world, "other"), ODD[::3]
    lease(world, batch, other, third)
    claims = {
        "as they are": EVEN + ODD, "backwards": (ODD + EVEN)[::-1], "twice": (EVEN + ODD) * 2,
        "overlapping": [(a, b + 1) for a, b in ODD[::-1]] + [(0, 1)],
    }[order]  # fmt: skip
    claimed = {index for part in claims for index in range(*part)}
    with few_steps():
        joined = Hand(world, "node").join([Held(batch, claims[:99]), Held(batch, claims[99:])])
    mine = set(range(1, 2 * MANY, 2)) - {a for a, _ in third}
    dropped = {index for held in joined.drop for part in held.ranges for index in range(*part)}
    kept = {i for part in world.ledger.batches[batch].leased[joined.node] for i in range(*part)}
    assert kept == mine
    assert dropped == claimed - mine
    assert list(world.ledger.batches[batch].leased[other.joined.node]) == third


def test_the_failures_that_it_will_report_are_its_own(world, few_steps):
    batch = fragmented(world)
    failed = [Unheard(batch, index, index) for index, _ in ODD]
    with few_steps():
        joined = world.ask(Join("node", 2, [], "token", failed=failed), world.connect("node"))
    assert list(world.ledger.batches[batch].leased[joined.node]) == ODD


def test_a_batch_that_is_not_there_is_told_of_once(world):
    hand = Hand(world, "node")
    hand.join([Held(77, [part]) for part in EVEN[1:]] + [Held(78, [(0, 1)])])
    assert hand.pushed == [Dropped(77), Dropped(78)]
    assert hand.joined.drop == [Held(77, EVEN[1:]), Held(78, [(0, 1)])]


def test_leases_that_bind_and_stay_are_not_journalled_again(world, monkeypatch):
    batch = fragmented(world, max_parallel=2 * MANY)
    hand = Hand(world, "node")
    lease(world, batch, hand, ODD[:-1])
    written: list[tuple[object, ...]] = []
    for name in ("add_begun", "drop_begun"):
        monkeypatch.setattr(world.journal, name, lambda *a, n=name: written.append((n, *a)))
    hand.join([Held(batch, ODD[1:])])
    assert written == [
        ("drop_begun", batch, *ODD[0]), ("add_begun", batch, ODD[-1][0], hand.token, "node"),
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["leave", "cancel", "return"])
def test_all_that_a_node_had_goes_at_once(world, few_steps, end):
    batch = fragmented(world)
    hand = Hand(world, "node")
    lease(world, batch, hand, ODD)
    with few_steps():
        if end == "leave":
            world.ask(Leave(hand.token))
        elif end == "cancel":
            world.ask(Cancel(str(batch)))
        else:
            hand.report(batch, returned=ODD)
    state = world.ledger.batches[batch]
    assert list(state.dropped if end == "cancel" else state.pending) == ODD
    assert (state.leased, state.running, state.busy) == ({}, 0, 0)


@pytest.mark.parametrize("wanted", [[], EVEN, [(0, 2 * MANY)]])
def test_all_that_failed_is_tried_again_at_once(world, few_steps, wanted):
    batch = fragmented(world)
    state = world.ledger.batches[batch]
    state.done, state.failed = state.failed, state.done
    state.attempts = {index: 1 for index, _ in EVEN}
    state.errors = dict(state.attempts)
    with few_steps():
        number = world.send(world.peer, Retry(str(batch), wanted))
        assert world.journal.pending < 10 + 2 * len(wanted)
    world.clock.turn()
    assert world.peer._connection.sent[number].tasks == MANY
    assert list(state.pending) == [(0, 2 * MANY)]


def importing(world: World) -> int:
    batch = world.submit(2 * MANY, paused=True)
    world.core.infos[batch].reason = IMPORTING
    return batch


def outcome(start: int, stop: int, failure: Failure | None = None) -> Outcome:
    payload, seconds = (b"", b"") if failure else (b"p", b"\0\0\0\0" * (stop - start))
    return Outcome(start, stop, "there", 1.0, 0, payload, seconds, failure)


def test_outcomes_are_restored_all_at_once(world, monkeypatch):
    batch = importing(world)
    wrong = Failure("error", "E", "it went wrong", "")
    outcomes = [outcome(a, b, wrong if a % 3 == 0 else None) for a, b in EVEN]
    changes: list[str] = []
    for name in ("add", "discard"):
        monkeypatch.setattr(RangeSet, name, lambda *_, n=name: changes.append(n))
    world.ask(Restore(batch, outcomes))
    state = world.ledger.batches[batch]
    assert changes == []
    assert list(state.failed) == EVEN[::3]
    assert list(state.done | state.failed) == EVEN
    assert list(state.pending) == ODD


def test_of_outcomes_of_the_same_tasks_the_first_is_kept(world):
    batch = importing(world)
    wrong = Failure("error", "E", "it went wrong", "")
    world.ask(Restore(batch, [outcome(0, 4), outcome(3, 4, wrong), outcome(2, 6)]))
    state = world.ledger.batches[batch]
    assert (list(state.done), list(state.failed)) == ([(0, 6)], [])
    rows = world.journal.outcomes_from(batch, 0)
    assert [(row.start, row.stop) for row in rows] == [(0, 4), (4, 6)]
