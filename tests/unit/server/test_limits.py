"""The limits of batches on a whole server: what nodes are told, and what a restart keeps."""

from __future__ import annotations

import pytest
from farm_service import Hand, World

from farm.server.ledger import SILENT_SECONDS
from farm.wire.controls import DrainNode, Pause, Resume, Retry
from farm.wire.leases import Drain, Dropped, Failed, Held, Leave, Recall, Report, Want
from farm.wire.messages import Cancel, Done, Failure, GetResults


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.kill()
    assert made.given_up == []


def begun(world: World) -> list[tuple[int, int, str, str]]:
    return list(world.journal.begun())


# -- max_failures -------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [{"max_failures": 1}, {"max_failure_share": 0.25}])
def test_too_many_failures_stop_a_batch_and_its_nodes_are_told(world, limit):
    a, b = Hand(world, "a"), Hand(world, "b")
    batch = world.submit(6, **limit)
    a.want()
    b.want()
    a.report(batch, failed=[0])
    assert world.status(batch).state == "running"
    assert Dropped(batch) not in a.pushed + b.pushed
    b.report(batch, failed=[2])
    found = world.status(batch)
    assert (found.state, found.failed, found.cancelled) == ("cancelled", 2, 4)
    assert found.reason.startswith("2 failed, and max_failures is ")
    assert found.ended
    assert Dropped(batch) in a.pushed
    assert Dropped(batch) in b.pushed
    assert a.want() == []
    world.restart()
    assert world.status(batch).reason == found.reason


def test_a_share_is_of_all_tasks_once_they_are_known(world):
    a = Hand(world, "a")
    batch = world.submit(0, open=True, max_failure_share=0.5)
    world.core.grow(batch, [], close=False)
    world.ledger.extend(batch, 2)
    a.want()
    a.report(batch, failed=[0, 1])
    assert world.status(batch).state == "running"
    world.core.grow(batch, [], close=True)
    world.clock.turn()
    assert world.status(batch).state == "failed"


def test_losses_count_among_the_failures_that_stop_a_batch(world):
    a = Hand(world, "a")
    batch = world.submit(6, max_failures=1, rerun=False)
    a.want()
    world.ask(Leave(a.token))
    found = world.status(batch)
    assert (found.state, found.failed, found.cancelled) == ("cancelled", 2, 4)


# -- rerun: false -------------------------------------------------------------------------------


def test_who_has_a_task_that_must_not_run_twice_is_journalled_before_the_node_has_it(world):
    a = Hand(world, "a")
    batch = world.submit(3, rerun=False)
    seen = []
    commit = world.journal.commit
    world.journal.commit = lambda: (commit(), seen.append((begun(world), a.leases)))
    a.want()
    expected = [(batch, index, a.token, "a") for index in (0, 1)]
    first = next(leases for rows, leases in seen if rows == expected)
    assert first == []
    assert a.leases == [(batch, [(0, 2)])]


def test_nothing_is_given_out_while_that_cannot_be_journalled(world):
    a = Hand(world, "a")
    batch = world.submit(3, rerun=False)
    world.fill_disk()
    world.journal.add_code("x", {"big": b"x" * 200_000})
    assert a.want() == []
    world.clock.pass_time(5.0)
    assert a.leases == []
    world.make_room()
    world.clock.pass_time(2.0)
    assert a.leases == [(batch, [(0, 2)])]


def test_what_has_an_outcome_or_came_back_is_no_longer_remembered(world):
    a = Hand(world, "a", 4)
    batch = world.submit(9, rerun=False)
    a.want()
    a.report(batch, done=[(0, 1)], failed=[1], returned=[(2, 3)])
    assert [row[1] for row in begun(world)] == [3]
    world.ask(Cancel(str(batch)))
    assert world.journal._db.execute("SELECT count(*) FROM begun").fetchone() == (0,)


def test_a_node_that_is_lost_fails_what_it_had_and_nobody_gets_it(world):
    a, b = Hand(world, "a"), Hand(world, "b")
    batch = world.submit(2, rerun=False)
    a.want()
    a.go()
    world.clock.pass_time(SILENT_SECONDS + 2)
    b = Hand(world, "b", token="new")
    assert b.want() == []
    outcomes = world.ask(GetResults(batch, 0)).outcomes
    assert [(o.failure.kind, o.node) for o in outcomes] == [("lost", "a")] * 2
    assert "rerun: false" in outcomes[0].failure.text
    assert world.status(batch).state == "failed"


def test_a_crash_is_a_loss_and_not_followed_by_another_attempt(world):
    a = Hand(world, "a", 1)
    batch = world.submit(1, rerun=False, retries=5)
    a.want()
    a.report(batch, failed=[0], kind="crash")
    assert world.ask(GetResults(batch, 0)).outcomes[0].failure.kind == "lost"
    assert a.want() == []


def test_a_node_that_comes_back_after_a_restart_goes_on_with_it(world):
    a = Hand(world, "a")
    batch = world.submit(4, rerun=False)
    a.want()
    world.restart()
    b = Hand(world, "b", 4)
    assert b.want() == [(batch, [(2, 4)])]
    world.clock.pass_time(SILENT_SECONDS - 2)
    assert a.join([Held(batch, [(0, 2)])]).drop == []
    assert [row[1] for row in begun(world)] == [0, 1, 2, 3]
    world.clock.pass_time(1.0)
    a.report(batch, done=[(0, 2)])
    assert world.status(batch).done == 2
    assert [row[1] for row in begun(world)] == [2, 3]


def test_a_node_that_comes_back_without_it_never_had_it(world):
    """The server ended after it had journalled who gets it, and before it could say so."""
    a = Hand(world, "a")
    batch = world.submit(2, rerun=False)
    a.want()
    world.restart()
    a.join([])
    assert begun(world) == []
    assert a.want() == [(batch, [(0, 2)])]


@pytest.mark.parametrize("token", [None, "another life of the machine"])
def test_a_node_that_does_not_come_back_after_a_restart_has_lost_it(world, token):
    a = Hand(world, "a")
    batch = world.submit(2, rerun=False)
    a.want()
    world.restart(away=3600.0)
    if token:
        assert Hand(world, "a", token=token).want() == []
    world.clock.pass_time(SILENT_SECONDS - 1)
    assert world.core.status(batch).running == 2
    world.clock.pass_time(3.0)
    assert world.status(batch).failed == 2
    assert {o.failure.kind for o in world.ask(GetResults(batch, 0)).outcomes} == {"lost"}
    drop = a.join([Held(batch, [(0, 2)])]).drop
    assert drop == [Held(batch, [(0, 2)])]
    a.report(batch, done=[(0, 2)])
    assert world.status(batch).failed == 2
    world.restart()
    assert world.status(batch).failed == 2


# -- delays, rate, places -----------------------------------------------------------------------


def test_a_delay_outlives_a_restart(world):
    a = Hand(world, "a", 1)
    batch = world.submit(1, retries=1, delay=30.0)
    a.want()
    a.report(batch, failed=[0])
    world.restart(away=10.0)
    a.join()
    assert a.want() == []
    world.live(19.5)
    assert a.leases == []
    world.live(1.0)
    assert a.leases == [(batch, [(0, 1)])]


def test_a_clock_that_was_set_back_makes_no_delay_longer(world):
    a = Hand(world, "a", 1)
    batch = world.submit(1, retries=1, delay=30.0)
    a.want()
    a.report(batch, failed=[0])
    world.journal._db.execute("UPDATE attempts SET at = at + 1e6")
    world.restart()
    a.join()
    a.want()
    world.live(35.0)
    assert a.leases == [(batch, [(0, 1)])]


def test_a_clock_that_was_set_back_loses_no_delay_of_what_was_retried(world):
    a = Hand(world, "a", 1)
    batch = world.submit(1, retries=1, delay=30.0)
    for _ in range(2):
        a.want()
        a.report(batch, failed=[0])
        world.live(31.0)
    world.ask(Retry(str(batch)))
    world.clock.offset = -1e6
    a.want()
    a.report(batch, failed=[0])
    world.restart()
    a.join()
    assert a.want() == []
    world.live(31.0)
    assert a.leases == [(batch, [(0, 1)])]


def test_a_waiting_node_gets_what_becomes_due_without_anything_else_happening(world):
    a = Hand(world, "a", 1)
    batch, times = world.submit(5, rate=2.0), []
    began = world.clock.time()
    for index in range(5):
        a.want()
        while len(a.leases) == index:
            world.clock.pass_time(0.05)
        times.append(world.clock.time() - began)
        a.report(batch, done=[(index, index + 1)])
    assert times == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0], abs=0.06)


def test_a_node_that_waits_gets_at_once_what_only_the_one_that_goes_could_have_had(world):
    """It was kept from it as long as there was another; nobody else is there to wake it."""
    a, b = Hand(world, "a", 1), Hand(world, "b", 1)
    batch = world.submit(1, retries=3)
    a.want()
    a.report(batch, failed=[0])
    assert a.want() == []
    b.go()
    world.live(15.0)
    assert a.leases == [(batch, [(0, 1)])] * 2


def test_attempts_are_told_of_outcomes_also_of_those_that_were_taken_back(world):
    a = Hand(world, "a", 3)
    batch = world.submit(3, retries=1)
    a.want()
    for _ in range(2):
        a.report(batch, failed=[0])
        a.want(1)
    world.ask(Retry(str(batch)))
    a.want(1)
    a.report(batch, done=[(0, 2)], failed=[2])
    a.want(1)
    a.report(batch, failed=[2])
    for _ in range(2):
        outcomes = world.ask(GetResults(batch, 0)).outcomes
        assert [(o.start, o.stop, o.retried) for o in outcomes] == [
            (0, 2, [(0, 3)]), (2, 3, [(2, 2)])
        ]  # fmt: skip
        assert world.status(batch).retried == 3
        world.restart()


# -- nodes that were away -----------------------------------------------------------------------


def test_a_node_that_was_away_while_a_batch_was_paused_gives_back_what_it_has_not_begun(world):
    a = Hand(world, "a")
    batch = world.submit(4)
    a.want()
    a.go()
    world.ask(Pause(str(batch)))
    a.join([Held(batch, [(0, 2)])])
    assert Recall(batch) in a.pushed
    a.report(batch, returned=[(1, 2)])
    assert a.want() == []
    world.ask(Resume(str(batch)))
    assert a.leases == [(batch, [(1, 3)])]


def test_a_node_that_was_away_while_it_was_drained_is_told_when_it_comes_back(world):
    a = Hand(world, "a")
    a.go()
    world.ask(DrainNode("a"))
    a.join()
    assert Drain() in a.pushed
    world.submit(1)
    assert a.want() == []
    assert world.ask(Leave(a.token)) == Done()


def test_what_is_cancelled_before_its_lease_is_journalled_is_not_given_out_after_it(world):
    """A node would begin it after it was told to drop it; a retry would run it twice."""
    a, b = Hand(world, "a", 1), Hand(world, "b", 1)
    batch = world.submit(3, rerun=False, max_failures=0)
    a.want()
    world.fill_disk()
    world.journal.add_code("x", {"big": b"x" * 200_000})
    world.send(b.peer, Want(1, 1))
    world.core.ledger.wake(world.clock.time())
    world.desk.hand_out()
    assert world.core.status(batch).running == 2
    wrong = Failed(batch, 0, 0.1, Failure("error", "E", "", ""))
    world.send(a.peer, Report([], [wrong], []))
    world.make_room()
    world.clock.pass_time(2.0)
    assert world.status(batch).state == "cancelled"
    assert b.leases == []
