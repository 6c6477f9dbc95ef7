"""The Python API against a server and a node: what is submitted comes back."""

from __future__ import annotations

import threading
from pathlib import Path

import farm_tasks as tasks
import pytest
from farm_harness import PATIENCE, eventually

from farm.errors import (
    BatchCancelledError,
    FarmError,
    TaskError,
    UnknownBatchError,
    UsageError,
    WaitTimeoutError,
)
from farm.limits import Limits

SOME = [{"x": x} for x in range(20)]
DOUBLED = [2 * x for x in range(20)]


@pytest.fixture
def farm(session, node):
    """A session with a farm of one node with two slots."""
    node("n1", 2)
    return session


@pytest.mark.parametrize(
    "function",
    [tasks.double, tasks.double_later, tasks.Doubling, lambda x: 2 * x],
    ids=["function", "coroutine function", "class", "lambda"],
)
def test_results_come_in_index_order(farm, function):
    assert list(farm.submit(function, SOME).results(PATIENCE)) == DOUBLED


def test_a_closure_travels_with_what_it_closes_over(farm):
    factor = 3
    assert list(farm.submit(lambda x: factor * x, SOME)) == [3 * x for x in range(20)]


def test_a_file_is_submitted_with_its_code(farm, tmp_path):
    (tmp_path / "mine.py").write_text("def triple(x, by=3):\n    return by * x\n")
    (tmp_path / "b.yaml").write_text(
        "name: threes\npython: mine.py:triple\nparams: {matrix: {x: {range: [0, 5]}, by: [3, 4]}}\n"
    )
    batch = farm.submit(tmp_path / "b.yaml", overrides=["params.matrix.by=[5]"], retries=2)
    assert list(batch.results(PATIENCE)) == [0, 5, 10, 15, 20]
    assert batch.name == "threes"
    assert batch.params()(2) == {"x": 2, "by": 5}


def test_without_params_there_is_one_task_and_with_none_the_batch_is_done(farm):
    assert list(farm.submit(lambda: 7).results(PATIENCE)) == [7]
    nothing = farm.submit(tasks.double, [])
    assert nothing.wait(PATIENCE).state == "done"
    assert list(nothing) == []
    assert len(nothing) == 0


def test_many_params_travel_in_blocks(farm):
    batch = farm.submit(tasks.double, [{"x": x} for x in range(10_000)])
    assert list(batch.results(PATIENCE)) == [2 * x for x in range(10_000)]
    assert batch.params()(9_999) == {"x": 9_999}


def test_params_of_a_generator_are_sent_while_it_runs(farm):
    seen = []

    def points():
        for x in range(3000):
            if x == 2500:
                seen.append(farm.status("last").open)
            yield {"x": x}

    batch = farm.submit(tasks.double, points())
    assert seen == [True]
    assert sum(batch.results(PATIENCE)) == 2 * sum(range(3000))
    assert batch.status().open is False


def test_params_that_fail_half_way_leave_nothing(farm):
    def points():
        yield from ({"x": x} for x in range(2500))
        raise OSError("the file ended early")

    with pytest.raises(OSError, match="ended early"):
        farm.submit(tasks.double, points())
    assert farm.batches() == []


def test_points_whose_names_differ_are_called_with_their_own(farm):
    points = [{"x": 1}, {"x": 2, "by": 5}, {"by": 7, "x": 3}]
    batch = farm.submit(lambda x, by=2: x * by, points)
    assert list(batch.results(PATIENCE)) == [2, 10, 21]
    assert [batch.params()(index) for index in range(3)] == points


def test_points_that_are_too_large_together_go_one_by_one(serve, node_at):
    server = serve(limits=Limits(max_frame=2_000_000))
    node_at(server)
    sizes = [900_000] * 3 + [1_900_000]
    with server.session() as session:
        batch = session.submit(len_of, [{"data": b"x" * size} for size in sizes])
        assert list(batch.results(PATIENCE)) == sizes
        with pytest.raises(UsageError, match=r"params\[1\] has 2,\d+,\d+ bytes; the limit is 1,9"):
            session.submit(len_of, [{"data": b""}, {"data": b"x" * 2_000_000}])
        assert len(session.batches()) == 1


def len_of(data):
    return len(data)


def test_large_results_arrive_whole(farm):
    size = 5 * 1024 * 1024
    batch = farm.submit(tasks.big, [{"size": size, "x": x} for x in range(10)])
    found = [(len(value), value[0], value[-1]) for value in batch.results(PATIENCE)]
    assert found == [(size, x, x) for x in range(10)]


def test_results_stream_before_the_end(farm, tmp_path):
    gate = tmp_path / "gate"
    params = [{"path": "/", "x": x} for x in range(5)] + [{"path": str(gate), "x": 5}]
    batch = farm.submit(tasks.wait_for, params)
    results = batch.results(PATIENCE)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert not batch.status().over
    gate.touch()
    assert list(results) == [5]


def test_outcomes_come_as_they_are_recorded(farm, tmp_path):
    gate = tmp_path / "gate"
    params = [{"path": str(gate), "x": 0}, {"path": "/", "x": 1}]
    outcomes = farm.submit(tasks.wait_for, params).outcomes(PATIENCE)
    assert next(outcomes).index == 1
    gate.touch()
    assert [outcome.index for outcome in outcomes] == [0]


def test_one_result_by_its_index(farm):
    batch = farm.submit(tasks.double, SOME)
    assert batch[7] == 14
    assert batch[-1] == 38
    for index in (20, -21):
        with pytest.raises(IndexError, match=f"tasks 0 to 19, not {index}"):
            batch[index]


def test_a_failure_is_raised_where_it_stands_with_its_cause(farm):
    batch = farm.submit(lambda x: 10 // x, [{"x": 5}, {"x": 0}, {"x": 2}])
    results = batch.results(PATIENCE)
    assert next(results) == 2
    with pytest.raises(TaskError, match="ZeroDivisionError") as failure:
        next(results)
    assert (failure.value.index, failure.value.kind) == (1, "error")
    assert isinstance(failure.value.__cause__, ZeroDivisionError)
    assert "in <lambda>" in failure.value.remote_traceback
    assert f'File "{__file__}"' in failure.value.remote_traceback
    assert "batch = farm.submit(lambda x: 10 // x" in failure.value.remote_traceback
    with pytest.raises(TaskError):
        batch[1]
    assert batch[2] == 5
    status = batch.wait(PATIENCE)
    assert (status.state, status.done, status.failed) == ("failed", 2, 1)


def test_outcomes_hold_failures_as_objects(farm):
    found = {o.index: o for o in farm.submit(tasks.fail, SOME[:3]).outcomes(PATIENCE)}
    assert sorted(found) == [0, 1, 2]
    assert all(not o.ok and o.status == "error" and o.node == "n1" for o in found.values())
    assert str(found[2].error.__cause__) == "no 2"


def test_retries_count_attempts(farm, tmp_path):
    again, never = tmp_path / "again", tmp_path / "never"
    again.mkdir()
    never.mkdir()
    batch = farm.submit(
        tasks.fail_first,
        [{"directory": str(again), "times": 2}, {"directory": str(never), "times": 99}],
        retries=2,
    )
    good, bad = sorted(batch.outcomes(PATIENCE), key=lambda outcome: outcome.index)
    assert (good.value, good.attempts) == (3, 3)
    assert (bad.status, bad.attempts) == ("error", 3)
    assert len(list(never.iterdir())) == 3
    assert batch.status().retried == 4


def test_a_timeout_kills_the_task_and_the_slot_goes_on(farm, tmp_path):
    params = [{"path": str(tmp_path / "never")}, {"path": "/"}]
    first, second = list(farm.submit(tasks.wait_for, params, timeout=0.3).ordered(PATIENCE))
    assert first.status == "timeout"
    assert second.ok


def test_a_result_that_cannot_be_pickled_costs_no_other(farm):
    found = list(farm.submit(tasks.unpicklable, SOME[:4]).ordered(PATIENCE))
    assert [outcome.status for outcome in found] == ["done", "unpicklable", "done", "done"]


def test_a_task_that_kills_its_slot_costs_no_other(farm):
    params = [{"x": x, "bad": 7} for x in range(40)]
    found = list(farm.submit(tasks.die_at, params).ordered(PATIENCE))
    assert [outcome.value for outcome in found] == [None if x == 7 else x for x in range(40)]
    assert (found[7].status, found[7].attempts) == ("crash", 3)
    assert "SIGKILL" in found[7].error.message


def test_cancel_kills_what_runs_and_frees_its_slots(farm, tmp_path):
    blocked = farm.submit(tasks.wait_for, [{"path": str(tmp_path / "never")}] * 10)
    eventually(lambda: blocked.status().running == 2, "both slots are busy")
    status = blocked.cancel()
    assert (status.state, status.cancelled, status.running) == ("cancelled", 10, 0)
    assert list(farm.submit(tasks.double, SOME).results(PATIENCE)) == DOUBLED
    with pytest.raises(BatchCancelledError):
        list(blocked.results(PATIENCE))
    with pytest.raises(BatchCancelledError):
        blocked[3]
    assert blocked.cancel().state == "cancelled"


def test_the_higher_priority_runs_first(session, node, tmp_path):
    order = [session.submit(tasks.double, SOME, priority=p) for p in (0, 5, -5)]
    node("n1", 1)
    ends = [batch.wait(PATIENCE).ended for batch in order]
    assert ends[1] <= ends[0] <= ends[2]
    assert session.status(2).priority == 5


def test_a_wait_has_a_bound(farm, tmp_path):
    batch = farm.submit(tasks.wait_for, [{"path": str(tmp_path / "gate")}])
    for wait in (batch.wait, lambda t: list(batch.results(t)), lambda t: list(batch.outcomes(t))):
        with pytest.raises(WaitTimeoutError):
            wait(0.1)
    Path(tmp_path, "gate").touch()
    assert batch.wait(PATIENCE).state == "done"


def test_two_sessions_do_not_disturb_each_other(farm, server):
    found: dict[int, list] = {}

    def use(number: int) -> None:
        with server.session() as own:
            params = [{"x": number * 1000 + x} for x in range(200)]
            found[number] = list(own.submit(tasks.double, params).results(PATIENCE))

    threads = [threading.Thread(target=use, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert found == {n: [2 * (n * 1000 + x) for x in range(200)] for n in range(2)}


def test_batches_are_found_by_id_and_name(farm):
    for name in ("a", "b", "a"):
        farm.submit(tasks.double, SOME[:1], name=name).wait(PATIENCE)
    assert [farm.batch(ref).id for ref in (1, "a", "b", "last")] == [1, 3, 2, 3]
    assert [status.batch for status in farm.batches()] == [3, 2, 1]
    assert [status.batch for status in farm.batches(limit=1)] == [3]
    with pytest.raises(UnknownBatchError, match="farm status"):
        farm.batch("nothing")


def test_what_cannot_be_submitted_is_refused_before_it_is_sent(farm):
    for wrong in (
        lambda: farm.submit(3),
        lambda: farm.submit(tasks.double, {"x": 1}),
        lambda: farm.submit(tasks.double, [1]),
        lambda: farm.submit(tasks.double, [{"x": threading.Lock()}]),
        lambda: farm.submit(threading.Lock().acquire),
        lambda: farm.submit("b.yaml", [{"x": 1}]),
        lambda: farm.submit(tasks.double, SOME, retries=-1),
        lambda: farm.submit(tasks.double, SOME, priority=10**30),
    ):
        with pytest.raises(UsageError):
            wrong()
    assert farm.batches() == []


def test_a_closed_session_says_so_and_may_be_closed_again(farm, server):
    own = server.session()
    own.close()
    own.close()
    with pytest.raises(FarmError, match="this session is closed"):
        own.batches()
    assert farm.batches() == []


def test_a_request_that_cannot_be_written_harms_no_other(farm):
    with pytest.raises(OverflowError):
        farm.batches(limit=2**70)
    assert len(farm._link._asked) == 0
    assert farm.batches() == []
