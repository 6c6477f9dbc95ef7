"""What clients do to batches: every refusal, each request sent twice, and the words of a status."""

from __future__ import annotations

import pytest
from farm_service import Hand, World

from farm.batch.spec import Options
from farm.server import controls
from farm.server.around import QUEUE_TOKEN
from farm.server.controls import MAX_ATTEMPTS
from farm.server.reading import BatchRow
from farm.wire.controls import DrainNode, Forget, Pause, Restore, Resume, Retried, Retry
from farm.wire.leases import Drain, Recall
from farm.wire.messages import (
    Append,
    Cancel,
    Done,
    Failure,
    GetOutcomes,
    GetResults,
    GetStatus,
    Outcome,
    Refused,
    Status,
)

FAR = Failure("error", "E", "on another server", "")


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.kill()
    assert made.given_up == []


def failed_batch(world: World, total: int = 4, **options) -> tuple[int, Hand]:
    """A batch all of whose tasks have failed."""
    hand = Hand(world, "a", total)
    batch = world.submit(total, **options)
    hand.want()
    hand.report(batch, failed=list(range(total)))
    return batch, hand


def outcome(start: int = 0, stop: int = 1, **changes) -> Outcome:
    values = {
        "start": start, "stop": stop, "node": "far", "elapsed": 1.0, "offset": 0,
        "payload": b"p", "seconds": b"\0\0\0\0" * (stop - start),
    }  # fmt: skip
    return Outcome(**{**values, **changes})


def words(status: Status) -> tuple[str, str]:
    return status.state, status.reason


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_", [Pause("7"), Resume("x"), Retry("7"), Cancel("last"), Forget(7), Restore(7, [])]
)
def test_a_batch_that_is_not_there_is_refused(world, request_):
    assert world.refused(request_) == "unknown-batch"


@pytest.mark.parametrize("make", [Pause, Resume, Retry, Cancel, "forget", "restore"])
def test_the_queue_of_plain_clients_is_left_alone(world, make):
    world.core.submit(
        BatchRow(1, QUEUE_TOKEN, "queue", 0, Options(), "", 1.0, open=True),
        b"", {}, [],
    )  # fmt: skip
    request = {"forget": Forget(1), "restore": Restore(1, [])}.get(make) or make("1")
    assert world.refused(request) == "task-queue"
    assert world.ledger.batches[1].state == "waiting"


@pytest.mark.parametrize("make", [Pause, Resume, Retry, Cancel, "forget", "restore"])
def test_nothing_is_taken_that_cannot_be_journalled(world, make):
    batch, _ = failed_batch(world)
    paused = world.submit(2, paused=True)
    before = (world.status(batch), world.status(paused))
    world.fill_disk()
    world.journal.add_code("x", {"big": b"x" * 200_000})
    world.core.plan_flush()
    world.clock.turn()
    requests = {"forget": Forget(batch), "restore": Restore(paused, [outcome()])}
    assert world.refused(requests.get(make) or make(str(batch))) == "journal"
    world.make_room()
    world.clock.pass_time(2.0)
    after = (world.status(batch), world.status(paused))
    assert [(s.state, s.failed, s.reason) for s in after] == [
        (s.state, s.failed, s.reason) for s in before
    ]


@pytest.mark.parametrize("ranges", [[(0, 5)], [(-1, 2)], [(2, 2)], [(3, 1)], [(0, 1), (4, 9)]])
def test_ranges_that_the_batch_does_not_have_are_refused(world, ranges):
    batch, _ = failed_batch(world)
    assert world.refused(Retry(str(batch), ranges)) == "bad-request"
    assert world.status(batch).failed == 4


def test_a_batch_that_has_not_ended_is_not_forgotten(world):
    batch = world.submit(3)
    answer = world.ask(Forget(batch))
    assert isinstance(answer, Refused)
    assert (answer.code, f"farm cancel {batch}" in answer.text) == ("not-ended", True)


@pytest.mark.parametrize("name", ["-1", "9999999999999999999"])
def test_forget_means_an_id_and_never_a_name(world, name):
    batch = world.submit(0, name=name)
    wanted = int(name) if int(name) < 2**63 else 0
    assert world.refused(Forget(wanted)) == "unknown-batch"
    assert world.status(batch).state == "done"


@pytest.mark.parametrize(
    "wrong",
    [
        outcome(3, 5), outcome(2, 2), outcome(-1, 1), outcome(elapsed=-1.0),
        outcome(elapsed=float("nan")), outcome(elapsed=1e16), outcome(offset=-1),
        outcome(0, 1, offset=1), outcome(0, 2, seconds=b"\0\0\0\0"),
        outcome(0, 2, failure=FAR), outcome(retried=[(0, 0)]),
        outcome(retried=[(0, MAX_ATTEMPTS + 1)]),
    ],
)  # fmt: skip
def test_an_outcome_that_cannot_be_one_is_refused_with_all_the_others(world, wrong):
    batch = world.submit(4, paused=True)
    assert world.refused(Restore(batch, [outcome(1, 2), wrong])) == "bad-request"
    assert world.status(batch).pending == 4


def test_outcomes_are_restored_only_where_nothing_has_run(world):
    batch = world.submit(4, retries=1, delay=60.0)
    assert world.refused(Restore(batch, [outcome()])) == "bad-request"
    hand = Hand(world, "a", 1)
    hand.want()
    world.ask(Pause(str(batch)))
    assert world.refused(Restore(batch, [outcome()])) == "bad-request"
    hand.report(batch, failed=[0])
    assert world.refused(Restore(batch, [outcome()])) == "bad-request"
    assert world.status(batch).pending == 4


def test_a_node_that_is_not_there_is_not_drained(world):
    Hand(world, "a")
    answer = world.ask(DrainNode("b"))
    assert (answer.code, "there is: a" in answer.text) == ("unknown-node", True)


# -- each request twice -------------------------------------------------------------------------


def test_pause_and_resume_twice(world):
    hand = Hand(world, "a")
    batch = world.submit(9)
    hand.want()
    assert [words(world.ask(Pause(str(batch)))) for _ in range(2)] == [("paused", "by hand")] * 2
    assert hand.pushed.count(Recall(batch)) == 1
    hand.report(batch, done=[(0, 1)], returned=[(1, 2)])
    assert hand.want() == []
    world.restart()
    hand.join()
    assert words(world.status(batch)) == ("paused", "by hand")
    assert hand.want() == []
    assert [words(world.ask(Resume(str(batch)))) for _ in range(2)] == [("running", "")] * 2
    assert hand.leases == [(batch, [(1, 3)])]


def test_cancel_twice(world):
    hand = Hand(world, "a")
    batch = world.submit(9)
    hand.want()
    found = [world.ask(Cancel(str(batch))) for _ in range(2)]
    assert [(words(s), s.cancelled) for s in found] == [(("cancelled", "by hand"), 9)] * 2
    world.restart()
    assert words(world.status(batch)) == ("cancelled", "by hand")
    assert world.refused(Append(batch, [], close=True)) == "cancelled"


def test_what_waited_for_another_attempt_is_cancelled_after_a_restart_too(world):
    batch, _ = failed_batch(world, 4, retries=1, delay=60.0)
    assert world.status(batch).pending == 4
    assert world.ask(Cancel(str(batch))).cancelled == 4
    world.restart()
    assert (world.status(batch).cancelled, world.status(batch).state) == (4, "cancelled")
    world.ask(Retry(str(batch), [(0, 1)]))
    world.restart()
    assert Hand(world, "b", 4).want() == [(batch, [(0, 1)])]


def test_retry_twice(world):
    batch, hand = failed_batch(world)
    assert words(world.status(batch)) == ("failed", "")
    first, second = (world.ask(Retry(str(batch))) for _ in range(2))
    assert isinstance(first, Retried)
    assert (first.tasks, second.tasks) == (4, 0)
    assert (second.status.pending, second.status.ended, second.status.retried) == (4, 0.0, 4)
    hand.want()
    hand.report(batch, done=[(0, 4)])
    assert words(world.status(batch)) == ("done", "")


def test_forget_twice(world):
    batch, _ = failed_batch(world)
    assert [world.ask(Forget(batch)) for _ in range(2)] == [Done(), Done()]
    assert world.refused(GetStatus(str(batch))) == "unknown-batch"
    assert "was forgotten" in world.ask(GetStatus(str(batch))).text
    world.restart()
    assert world.ask(Forget(batch)) == Done()
    assert world.submit(1) == batch + 1


def test_restore_twice(world):
    batch = world.submit(6, paused=True, retries=1)
    outcomes = [outcome(0, 3, retried=[(1, 3), (5, 2)]), outcome(4, 5, failure=FAR)]
    for _ in range(2):
        assert world.ask(Restore(batch, outcomes)) == Done()
        found = world.status(batch)
        assert (found.done, found.failed, found.pending, found.retried) == (3, 1, 2, 2)
        assert found.seconds == pytest.approx(2.0)
    pages = world.ask(GetResults(batch, 0, gaps=True)).outcomes
    assert [(o.start, o.stop, o.retried) for o in pages] == [(0, 3, [(1, 3)]), (4, 5, [])]
    overlap = outcome(2, 4, payload=b"other")
    assert world.ask(Restore(batch, [overlap], last=True)) == Done()
    assert world.status(batch).done == 4
    hand = Hand(world, "a", 9)
    world.ask(Resume(str(batch)))
    assert hand.want() == [(batch, [(5, 6)])]


def test_drain_twice(world):
    hand = Hand(world, "a")
    for _ in range(2):
        assert world.ask(DrainNode(str(hand.joined.node))).name == "a"
    assert Drain() in hand.pushed
    world.submit(1)
    assert hand.want() == []


# -- retry ----------------------------------------------------------------------------------------


def test_a_task_that_is_named_twice_is_retried_once(world):
    batch, _ = failed_batch(world)
    assert world.ask(Retry(str(batch), [(0, 3), (1, 4), (0, 1)])).tasks == 4
    assert world.status(batch).retried == 4


def test_very_many_failures_are_tried_again_some_at_a_time(world, monkeypatch):
    monkeypatch.setattr(controls, "MAX_RETRIED", 3)
    hand = Hand(world, "a", 12)
    batch = world.submit(12)
    hand.want()
    hand.report(batch, failed=[*range(8), 10])
    found = world.ask(Retry(str(batch)))
    assert (found.tasks, found.further, found.status.failed) == (3, 3, 6)
    world.restart()
    assert (world.status(batch).failed, world.status(batch).pending) == (6, 6)
    found = world.ask(Retry(str(batch), start=3))
    assert (found.tasks, found.further, found.status.failed) == (3, 6, 3)
    found = world.ask(Retry(str(batch), start=6))
    assert (found.tasks, found.further, found.status.failed) == (3, 0, 0)
    assert world.ask(Retry(str(batch), start=12)).tasks == 0
    assert world.ask(Retry(str(batch), start=-1)).tasks == 0


def test_what_is_still_to_be_tried_again_does_not_stop_the_batch(world, monkeypatch):
    """`max_failures` begins anew for all of it, not only for what was taken back already."""
    monkeypatch.setattr(controls, "MAX_RETRIED", 1)
    hand = Hand(world, "a", 6)
    batch = world.submit(6, max_failures=2)
    hand.want()
    hand.report(batch, failed=[0, 1, 2])
    assert words(world.status(batch))[0] == "cancelled"
    found = world.ask(Retry(str(batch)))
    assert (found.tasks, found.further, found.status.failed) == (4, 1, 2)
    hand.want(1)
    hand.report(batch, failed=[0])
    assert words(world.status(batch)) == ("running", "")
    found = world.ask(Retry(str(batch), start=1))
    found = world.ask(Retry(str(batch), start=2, more=True))
    assert (found.further, world.ledger.batches[batch].spared) == (0, 1)
    world.ask(Retry(str(batch), [(5, 6)]))
    hand.want(6)
    hand.report(batch, failed=[1, 2])
    assert words(world.status(batch))[0] == "cancelled"


def test_of_those_that_are_named_and_have_failed_some_are_tried_again_at_a_time(world, monkeypatch):
    monkeypatch.setattr(controls, "MAX_RETRIED", 2)
    hand = Hand(world, "a", 10)
    batch = world.submit(10)
    hand.want()
    hand.report(batch, done=[(9, 10)], failed=list(range(9)))
    named = [(6, 8), (0, 2), (3, 4), (9, 10)]
    pages, start = [], 0
    while True:
        found = world.ask(Retry(str(batch), named, start=start))
        pages.append((found.tasks, found.further))
        if not (start := found.further):
            break
    assert pages == [(2, 3), (2, 7), (1, 0)]
    assert list(world.ledger.batches[batch].failed) == [(2, 3), (4, 6), (8, 9)]


def test_a_cancelled_batch_is_retried_bit_by_bit(world):
    hand = Hand(world, "a", 1)
    batch = world.submit(6)
    hand.want()
    hand.report(batch, failed=[0])
    world.ask(Cancel(str(batch)))
    found = world.ask(Retry(str(batch), [(1, 3)]))
    assert found.tasks == 2
    assert words(found.status) == ("running", "")
    assert (found.status.pending, found.status.cancelled, found.status.failed) == (2, 3, 1)
    world.restart()
    hand.join()
    assert world.status(batch).pending == 2
    hand.want(2)
    hand.report(batch, done=[(1, 3)])
    assert words(world.status(batch)) == ("cancelled", "by hand")
    assert world.ask(Retry(str(batch), failed=True)).tasks == 1
    assert words(world.ask(Retry(str(batch))).status) == ("running", "")
    hand.want(4)
    hand.report(batch, done=[(0, 1), (3, 6)])
    assert words(world.status(batch)) == ("done", "")
    world.restart()
    assert words(world.status(batch)) == ("done", "")


def test_a_paused_batch_that_is_retried_stays_paused_and_says_why(world):
    hand = Hand(world, "a", 1)
    batch = world.submit(2)
    hand.want()
    hand.report(batch, failed=[0])
    world.ask(Pause(str(batch)))
    assert words(world.ask(Retry(str(batch))).status) == ("paused", "by hand")
    assert hand.want() == []


def test_places_of_outcomes_are_never_given_again(world):
    """A reader's cursor stands behind what was taken back."""
    batch, hand = failed_batch(world)
    cursor = world.ask(GetOutcomes(batch, 0)).cursor
    world.ask(Retry(str(batch)))
    world.restart()
    hand.join()
    hand.want(4)
    hand.report(batch, done=[(0, 4)])
    page = world.ask(GetOutcomes(batch, cursor))
    assert [(o.start, o.stop) for o in page.outcomes] == [(0, 4)]


def test_retries_and_crashes_count_anew(world):
    batch, hand = failed_batch(world, 1, retries=1, crash_limit=2)
    assert hand.want(1)
    hand.report(batch, failed=[0], kind="crash")
    assert hand.want(1)
    hand.report(batch, failed=[0], kind="crash")
    assert world.status(batch).failed == 1
    world.ask(Retry(str(batch)))
    world.restart()
    hand.join()
    for kind in ("crash", "error"):
        assert hand.want(1)
        hand.report(batch, failed=[0], kind=kind)
    assert world.status(batch).failed == 0


def test_an_answer_about_a_batch_that_is_forgotten_in_the_same_turn(world):
    batch, _ = failed_batch(world)
    number = world.send(world.peer, Cancel(str(batch)))
    world.send(world.peer, Forget(batch))
    world.clock.turn()
    answer = world.peer._connection.sent[number]
    assert isinstance(answer, Status) or answer.code == "unknown-batch"


def test_a_task_whose_attempts_are_told_twice_is_refused(world):
    batch = world.submit(3, paused=True)
    twice = outcome(0, 1, retried=[(0, 2000)] * 2)
    assert world.refused(Restore(batch, [twice])) == "bad-request"
    many = [outcome(index, index + 1, retried=[(index, 2000)]) for index in range(3)]
    assert world.ask(Restore(batch, many)) == Done()


def test_half_an_import_is_not_run(world):
    batch = world.submit(3, paused=True)
    assert world.ask(Restore(batch, [outcome(0, 1)])) == Done()
    for request in (Resume(str(batch)), Retry(str(batch))):
        assert world.refused(request) == "importing"
    world.restart()
    assert world.refused(Resume(str(batch))) == "importing"
    assert world.ask(Restore(batch, [], last=True)) == Done()
    assert world.ask(Resume(str(batch))).state == "running"
