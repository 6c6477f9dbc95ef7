"""Ranges of outcomes made into tasks again."""

from __future__ import annotations

import array
import pickle

import pytest

from farm.client.outcome import Outcome, RemoteTraceback, expand, values_of
from farm.errors import TaskError
from farm.wire import messages


def recorded(start, stop, values, offset=0, **more):
    seconds = array.array("f", [0.5 * i for i in range(len(values))]).tobytes()
    return messages.Outcome(start, stop, "n1", 9.0, offset, pickle.dumps(values), seconds, **more)


def failed(exception=None, text="Traceback ...", **more):
    failure = messages.Failure("error", "ValueError", "no", text, exception)
    return messages.Outcome(7, 8, "n1", 0.25, 0, b"", b"", failure, **more)


def test_a_range_becomes_its_tasks():
    found = list(expand(recorded(3, 6, ["a", "b", "c"], retried=[(4, 2)])))
    assert found == [
        Outcome(3, "done", "a", None, 0.0, "n1", 1),
        Outcome(4, "done", "b", None, 0.5, "n1", 2),
        Outcome(5, "done", "c", None, 1.0, "n1", 1),
    ]
    assert all(outcome.ok for outcome in found)


def test_part_of_a_payload_stands_at_its_offset():
    part = recorded(3, 5, ["a", "b", "c", "d"], offset=1)
    assert [(o.index, o.value, o.seconds) for o in expand(part)] == [(3, "b", 0.5), (4, "c", 1.0)]
    assert values_of(part) == ["b", "c"]


def test_the_first_ones_may_be_left_out():
    part = recorded(3, 6, ["x", "a", "b", "c"], offset=1)
    assert [(o.index, o.value) for o in expand(part, first=5)] == [(5, "c")]
    assert [o.index for o in expand(part, first=2)] == [3, 4, 5]


def test_the_head_of_a_payload_is_cut():
    assert values_of(recorded(3, 5, ["a", "b", "c"])) == ["a", "b"]
    assert values_of(recorded(3, 6, ["a", "b", "c"])) == ["a", "b", "c"]


def test_a_failure_is_one_task():
    (outcome,) = expand(failed(retried=[(7, 3)]))
    assert (outcome.index, outcome.status, outcome.attempts) == (7, "error", 3)
    assert (outcome.ok, outcome.value, outcome.seconds) == (False, None, 0.25)
    assert isinstance(outcome.error.__cause__, RemoteTraceback)
    assert "Traceback ..." in str(outcome.error.__cause__)


def test_a_failure_of_several_tasks_is_one_of_each():
    """Of results that were lost together on the server's disk."""
    lost = messages.Outcome(
        3, 6, "n1", 1.5, 0, b"", b"", messages.Failure("error", "E", "no", ""), [(4, 2)]
    )
    assert [(o.index, o.error.index, o.attempts) for o in expand(lost)] == [
        (3, 3, 1), (4, 4, 2), (5, 5, 1),
    ]  # fmt: skip
    assert [(o.index, o.seconds) for o in expand(lost, first=4)] == [(4, 0.5), (5, 0.5)]


def test_a_failure_is_raised_where_values_are_read():
    with pytest.raises(TaskError, match="task 7 failed"):
        values_of(failed())


def test_an_exception_that_travelled_is_the_cause():
    (outcome,) = expand(failed(pickle.dumps(KeyError("k"))))
    assert isinstance(outcome.error.__cause__, KeyError)
    assert isinstance(outcome.error.__cause__.__cause__, RemoteTraceback)


@pytest.mark.parametrize("exception", [b"garbage", pickle.dumps("no exception"), b""])
def test_an_exception_that_cannot_be_made_here_leaves_its_text(exception):
    (outcome,) = expand(failed(exception))
    assert isinstance(outcome.error.__cause__, RemoteTraceback)


class Disguised:
    """What says that it is an exception, and is none."""

    __class__ = KeyError  # type: ignore[assignment]


class Untouchable(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError(name)


def test_an_exception_that_lets_nobody_set_its_cause_has_one_all_the_same():
    (outcome,) = expand(failed(pickle.dumps(Untouchable("it"))))
    assert isinstance(outcome.error.__cause__, Untouchable)
    assert isinstance(outcome.error.__cause__.__cause__, RemoteTraceback)


def test_what_only_says_that_it_is_an_exception_leaves_its_text():
    (outcome,) = expand(failed(b"any"), lambda _: Disguised())
    assert isinstance(outcome.error.__cause__, RemoteTraceback)


def test_without_a_traceback_there_is_no_cause():
    (outcome,) = expand(failed(text=""))
    assert outcome.error.__cause__ is None


def test_results_and_exceptions_are_unpickled_by_what_is_given():
    seen = []

    def loads(data):
        seen.append(data)
        return pickle.loads(data)

    list(expand(recorded(0, 1, ["a"]), loads))
    list(expand(failed(pickle.dumps(KeyError("k"))), loads))
    assert len(seen) == 2


@pytest.mark.parametrize("values", [[], 7, None, {}, ["only the first"]], ids=repr)
def test_what_a_node_sent_and_is_no_result_is_a_failure(values):
    whole = recorded(3, 5, ["a", "b"])
    bad = messages.Outcome(3, 5, "n1", 9.0, 0, pickle.dumps(values), whole.seconds)
    *_, last = expand(bad)
    assert (last.index, last.status) == (4, "unpicklable")
    assert "what the node 'n1' sent is no result" in str(last.error)
    with pytest.raises(TaskError, match="is no result"):
        values_of(bad)


class Ends:
    """What ends the program that unpickles it."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self):
        return _raise, (self.kind,)


def _raise(kind):
    raise kind("unpickled")


ENDS = pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])


@ENDS
def test_a_result_that_would_end_the_program_is_its_tasks_failure(kind):
    part = recorded(3, 5, [1, Ends(kind)], retried=[(4, 2)])
    found = list(expand(part))
    assert [(o.index, o.status, o.attempts) for o in found] == [
        (3, "unpicklable", 1), (4, "unpicklable", 2),
    ]  # fmt: skip
    assert kind.__name__ in str(found[0].error)
    assert type(found[0].error.__cause__) is kind
    with pytest.raises(TaskError, match=kind.__name__):
        values_of(part)


@ENDS
def test_an_exception_that_would_end_the_program_leaves_its_text(kind):
    for exception in (Ends(kind), kind()):
        (outcome,) = expand(failed(pickle.dumps(exception)))
        assert isinstance(outcome.error.__cause__, RemoteTraceback)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("outcome", [recorded(3, 5, [1, 2]), failed(pickle.dumps(KeyError("k")))])
def test_a_signal_while_something_is_unpickled_is_none_of_its_business(kind, outcome):
    signals = [kind()]

    def loads(data):
        if signals:
            raise signals.pop()
        return pickle.loads(data)

    with pytest.raises(kind):
        list(expand(outcome, loads))
