"""Results to payloads: what is split, what fails alone, what travels by value."""

import pickle
import sys
import threading
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.engines import packing
from farm.engines.memory import MemoryLimit
from farm.engines.messages import Done, Failure
from farm.engines.packing import dump_by_value, dump_plain, pack


def unpack(messages, start):
    """Index -> value, and the failures, in order and without holes."""
    values, failures = {}, {}
    at = start
    for message in messages:
        assert message.start == at
        at = message.stop
        if isinstance(message, Failure):
            failures[message.start] = message
        else:
            found = pickle.loads(message.payload)
            assert len(found) == message.stop - message.start
            assert len(message.seconds) == 4 * len(found)
            values.update(enumerate(found, message.start))
    return values, failures, at


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 10**12))
def test_each_bad_result_fails_alone(bad, start):
    results = [threading.Lock() if wrong else at for at, wrong in enumerate(bad)]
    seconds = array("f", range(len(bad)))
    values, failures, stop = unpack(pack(results, seconds, start, dump_plain, MemoryLimit()), start)
    assert stop == start + len(bad)
    assert values == {start + at: at for at, wrong in enumerate(bad) if not wrong}
    assert {at: failure.seconds for at, failure in failures.items()} == {
        start + at: float(at) for at, wrong in enumerate(bad) if wrong
    }
    assert {failure.kind for failure in failures.values()} <= {"unpicklable"}


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40))
def test_large_parts_are_split_and_too_large_results_fail(sizes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "MAX_PART", 1000)
        patch.setattr(packing, "MAX_RESULT", 2000)
        results = [bytes(size) for size in sizes]
        messages = list(
            pack(results, array("f", bytes(4 * len(sizes))), 0, dump_plain, MemoryLimit())
        )
    values, failures, stop = unpack(messages, 0)
    assert stop == len(sizes)
    for message in messages:
        if isinstance(message, Done):
            assert len(message.payload) <= 1000 or message.stop - message.start == 1
            assert len(message.payload) <= 2000
    assert all(failure.type_name == "ResultTooLarge" for failure in failures.values())
    assert all(len(dump_plain([results[at]])) > 2000 for at in failures)
    assert {at: len(value) for at, value in values.items()} == {
        at: size for at, size in enumerate(sizes) if at not in failures
    }


def test_by_value_only_where_a_plain_pickle_fails():
    assert dump_by_value([1, "a"]) == dump_plain([1, "a"])
    assert pickle.loads(dump_by_value([lambda: 7]))[0]() == 7
    with pytest.raises(Exception, match="lambda"):
        dump_plain([lambda: 7])


class Leaving:
    """Ends the process if it is let."""

    def __reduce__(self):
        sys.exit("leaving")


class Mute(Exception):
    def __str__(self):
        sys.exit("no text")


class Unspeakable:
    def __reduce__(self):
        raise Mute


@pytest.mark.parametrize("dump", [dump_plain, dump_by_value])
@pytest.mark.parametrize(("wrong", "name"), [(Leaving, "SystemExit"), (Unspeakable, "Mute")])
def test_a_result_that_ends_the_process_when_pickled_is_the_failure_of_its_task(wrong, name, dump):
    """The second thread may pickle it, while another task runs that would be blamed."""
    results, seconds = [0, wrong(), 2], array("f", [0.1, 0.2, 0.3])
    values, failures, _ = unpack(pack(results, seconds, 5, dump, MemoryLimit()), 5)
    assert values == {5: 0, 7: 2}
    assert [(at, failure.kind, failure.type_name) for at, failure in failures.items()] == [
        (6, "unpicklable", name)
    ]
