"""The options of a batch that limit it, on real nodes: retries, failures, how many at once."""

from __future__ import annotations

import itertools
import time

import farm_hostile as hostile
import farm_tasks as tasks
import pytest
from farm_harness import PATIENCE, eventually, state_of


@pytest.fixture
def named_node(node, monkeypatch):
    """Starts a node whose tasks find its name in FARM_TEST_NODE."""

    def start(name, slots=1):
        monkeypatch.setenv("FARM_TEST_NODE", name)
        return node(name, slots)

    return start


def begun_of(directory, x):
    """When the attempts at a task of `fail_timed` began."""
    return [float(line) for line in (directory / f"attempts-{x}").read_text().split()]


def spans_of(batch):
    """When tasks of `span` began and ended, in the order of their beginnings."""
    return sorted(outcome.value for outcome in batch.outcomes(PATIENCE))


# -- retries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retries", "least"),
    [
        ({"max": 3, "delay": "100ms", "jitter": 0}, [0.1, 0.2, 0.4]),  # backoff: 2
        ({"max": 3, "delay": "100ms", "backoff": 1, "jitter": 0}, [0.1, 0.1, 0.1]),
        ({"max": 2, "delay": "200ms", "backoff": 1.5, "jitter": 0.5}, [0.1, 0.15]),
        ({"max": 2}, [0.0, 0.0]),
    ],
)
def test_attempts_are_as_far_apart_as_they_should_be(session, node, tmp_path, retries, least):
    node("n1", 2)
    params = [{"directory": str(tmp_path), "x": x} for x in range(3)]
    batch = session.submit(hostile.fail_timed, params, options={"retries": retries})
    found = list(batch.ordered(PATIENCE))
    assert [(one.status, one.attempts) for one in found] == [("error", len(least) + 1)] * 3
    for x in range(3):
        begun = begun_of(tmp_path, x)
        gaps = [after - before for before, after in itertools.pairwise(begun)]
        assert len(gaps) == len(least)
        assert all(gap >= at_least for gap, at_least in zip(gaps, least, strict=True)), gaps
    assert batch.status().retried == 3 * len(least)


def test_what_fails_on_one_node_is_tried_again_on_another(session, named_node):
    for name in ("a", "b"):
        named_node(name)
    params = [{"node": "a", "x": x} for x in range(40)]
    batch = session.submit(hostile.fail_on, params, retries=1)
    found = list(batch.ordered(PATIENCE))
    assert [one.value for one in found] == ["b"] * 40
    assert {one.node for one in found} == {"b"}
    again = sum(one.attempts == 2 for one in found)
    assert 0 < again == batch.status().retried, "the first node has tried some"


def test_a_node_that_is_alone_tries_again_itself(session, named_node):
    named_node("a", 2)
    batch = session.submit(hostile.fail_on, [{"node": "a", "x": 0}], retries=2)
    (outcome,) = batch.outcomes(PATIENCE)
    assert (outcome.status, outcome.node, outcome.attempts) == ("error", "a", 3)


def test_a_node_that_comes_to_be_alone_gets_what_waited_for_the_other(
    session, named_node, tmp_path
):
    named_node("b")
    busy = session.submit(tasks.wait_for, [{"path": str(tmp_path / "go")}])
    eventually(lambda: busy.status().running == 1, "the other is busy")
    named_node("a")
    batch = session.submit(hostile.fail_on, [{"node": "a", "x": 0}], retries=1)
    eventually(lambda: batch.status().retried == 1, "it waits for the other")
    assert batch.status().running == 0
    session.drain("b")
    (outcome,) = batch.outcomes(PATIENCE)
    assert (outcome.status, outcome.node, outcome.attempts) == ("error", "a", 2)
    (tmp_path / "go").touch()
    assert busy.wait(PATIENCE).state == "done"


# -- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "allowed", "says"), [(3, 3, "max_failures is 3"), ("5%", 10, "max_failures is 5%")]
)
def test_a_batch_that_fails_too_often_is_stopped_and_can_be_completed(
    session, node, tmp_path, limit, allowed, says
):
    """The first task hangs meanwhile, and is killed; what is up to 49 is done."""
    node("a", 1)
    node("b", 2)
    total = 200
    params = [{"directory": str(tmp_path), "x": x, "bad": 0, "worst": 49} for x in range(total)]
    batch = session.submit(hostile.fail_until_mended, params, options={"max_failures": limit})
    status = batch.wait(PATIENCE)
    assert status.state == "cancelled"
    assert status.reason.endswith(says)
    assert allowed < status.failed < total - 50
    assert status.done <= 49
    assert status.done + status.failed + status.cancelled == total
    pid = int((tmp_path / "hangs-0").read_text().split()[0])
    eventually(lambda: not state_of(pid), "what runs is killed", 2.0)

    (tmp_path / "mended").touch()
    assert batch.retry() == total - status.done
    status = batch.wait(PATIENCE)
    assert (status.state, status.done, status.failed, status.reason) == ("done", total, 0, "")
    assert list(batch.results(PATIENCE)) == list(range(total))


def test_a_batch_may_fail_as_often_as_it_says(session, node, tmp_path):
    node("a", 2)
    (tmp_path / "hangs-0").touch()  # nothing of this batch does
    params = [{"directory": str(tmp_path), "x": x, "bad": 0, "worst": 16} for x in range(1, 20)]
    batch = session.submit(hostile.fail_until_mended, params, options={"max_failures": 3})
    status = batch.wait(PATIENCE)
    assert (status.state, status.done, status.failed, status.reason) == ("failed", 16, 3, "")


# -- how many at once -------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_run_at_once_than_may(session, node, most):
    for name in ("a", "b"):
        node(name, 4)
    params = [{"x": x, "seconds": 0.02} for x in range(20 * most)]
    batch = session.submit(hostile.span, params, options={"max_parallel": most})
    spans = spans_of(batch)
    assert len(spans) == len(params)
    changes = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    at_once = list(itertools.accumulate(change for _, change in changes))
    assert max(at_once) == most
    if most > 1:
        assert {one.node for one in batch.outcomes(PATIENCE)} == {"a", "b"}


def test_no_more_begin_in_a_while_than_may(session, node):
    rate, total, burst = 20, 45, 2
    for name in ("a", "b"):
        node(name, 4)
    params = [{"x": x, "seconds": 0.01} for x in range(total)]
    submitted = time.monotonic()
    batch = session.submit(hostile.span, params, options={"rate": f"{rate}/s"})
    begun = [began for began, _ in spans_of(batch)]
    assert len(begun) == total
    assert begun[-1] - submitted >= (total - 1) / rate * 0.95
    # What was allowed early may begin late on a machine that is busy: a fifth of a second of it.
    late = rate // 5
    for first, began in enumerate(begun):
        within = sum(began <= other < began + 1.0 for other in begun[first:])
        assert within <= rate + burst + late
    assert all(outcome.ok for outcome in batch.outcomes(PATIENCE))


@pytest.mark.parametrize("limit", [{"rerun": False}, {"max_parallel": 1}, {"rate": "100/s"}])
def test_what_needs_an_idle_slot_is_not_overtaken_by_very_many_short_tasks(session, node, limit):
    node("n1", 2)
    short = session.submit(tasks.nap, ({"seconds": 0.01} for _ in range(20_000)))
    eventually(lambda: short.status().done > 100, "nodes know how short they are")
    limited = session.submit(tasks.double, [{"x": x} for x in range(5)], priority=1, options=limit)
    assert list(limited.results(PATIENCE)) == [0, 2, 4, 6, 8]
    assert short.status().state == "running"
    short.cancel()
