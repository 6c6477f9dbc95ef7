"""Results that are still to come: what `multiprocessing.pool` promises of them."""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter

import pytest
from farm_harness import PATIENCE, eventually

from farm.client.changed import Changed
from farm.client.pending import AsyncResult, MapResult, ResultIterator
from farm.errors import FarmError


@pytest.fixture
def changed() -> Changed:
    return Changed()


def tell(changed: Changed) -> None:
    with changed:
        changed.notify_all()


# -- one result -------------------------------------------------------------------------------


def test_a_result_is_not_ready_until_it_has_come(changed):
    result = AsyncResult(changed)
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(0.01)
    result.wait(0.01)
    result.settle(None)
    assert result.ready()
    assert result.successful()
    assert result.get() is None


def test_a_failure_is_raised_each_time(changed):
    result = AsyncResult(changed)
    result.fail(KeyError("k"))
    assert not result.successful()
    for _ in range(2):
        with pytest.raises(KeyError):
            result.get()


def test_who_waits_is_woken(changed):
    result, got = AsyncResult(changed), []
    waiting = threading.Thread(target=lambda: got.append(result.get(PATIENCE)))
    waiting.start()
    result.settle(7)
    tell(changed)
    waiting.join(PATIENCE)
    assert got == [7]


def test_what_had_an_end_keeps_it(changed):
    done, failed = AsyncResult(changed), AsyncResult(changed)
    done.settle(1)
    done.fail(FarmError("closed"))
    done.settle(2)
    failed.fail(KeyError())
    failed.settle(3)
    assert done.get() == 1
    assert not failed.successful()


def test_a_callback_has_returned_when_the_result_is_there(changed):
    seen = []
    result = AsyncResult(changed, lambda value: seen.append((value, result.ready())))
    result.settle(5)
    assert seen == [(5, False)]
    assert result.ready()


def test_only_the_callback_that_fits_is_called(changed):
    values, errors = [], []
    AsyncResult(changed, values.append, errors.append).settle(1)
    AsyncResult(changed, values.append, errors.append).fail(error := KeyError())
    AsyncResult(changed).fail(KeyError())
    assert values == [1]
    assert errors == [error]


def test_a_callback_that_raises_is_logged_and_changes_nothing(changed, caplog):
    result = AsyncResult(changed, lambda _: 1 / 0)
    result.settle(5)
    assert result.get() == 5
    assert "a callback of a pool failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def leave(_: object) -> None:
    raise SystemExit


def test_a_callback_that_ends_its_thread_does_not_end_the_one_that_brings_results(changed, caplog):
    results = [AsyncResult(changed, leave, leave) for _ in range(2)]

    def bring() -> None:
        results[0].settle(5)
        results[1].fail(KeyError())

    bringing = threading.Thread(target=bring)
    bringing.start()
    bringing.join(PATIENCE)
    assert all(result.ready() for result in results)
    assert "SystemExit" in caplog.text


def test_what_interrupts_the_main_thread_in_a_callback_goes_on_from_there(changed):
    result = AsyncResult(changed, error_callback=leave)
    with pytest.raises(SystemExit):
        result.fail(KeyError())
    assert result.ready()


def test_a_callback_is_called_once_whoever_ends_the_result(changed):
    called, both = [], threading.Barrier(2)

    def callback(_: object) -> None:
        called.append(1)
        eventually(lambda: over, "the other one is done")

    over: list[bool] = []
    result = AsyncResult(changed, callback, callback)

    def settle() -> None:
        both.wait()
        result.settle(1)

    first = threading.Thread(target=settle)
    first.start()
    both.wait()
    eventually(lambda: called, "the callback runs")
    result.fail(FarmError("closed"))
    over.append(True)
    first.join(PATIENCE)
    assert called == [1]
    assert result.get() == 1


def test_who_brings_results_is_told_that_it_must_not_wait_for_them():
    changed = Changed(lambda: True)
    result = AsyncResult(changed)
    with pytest.raises(FarmError, match="a callback runs in the thread"):
        result.get()
    result.settle(1)
    assert result.get() == 1


# -- a list of them ---------------------------------------------------------------------------


def test_a_list_is_there_when_all_have_come_in_whatever_order(changed):
    result = MapResult(changed, 5)
    result.put(3, ["d", "e"])
    result.put(0, ["a"])
    assert not result.ready()
    result.put(1, ["b", "c"])
    assert result.get() == ["a", "b", "c", "d", "e"]


def test_the_first_failure_is_raised_when_all_are_over(changed):
    values, errors = [], []
    result = MapResult(changed, 3, values.append, errors.append)
    result.put_error(2, KeyError("first"))
    result.put_error(0, ValueError("second"))
    assert not result.ready()
    result.put(1, ["b"])
    with pytest.raises(KeyError, match="first"):
        result.get()
    assert (values, len(errors)) == ([], 1)


def test_no_calls_make_an_empty_list_at_once(changed):
    assert MapResult(changed, 0).get(0) == []


# -- one after the other ----------------------------------------------------------------------


def results(changed: Changed, ahead: int = 100, *, ordered: bool = True) -> ResultIterator:
    return ResultIterator(changed, ahead, ordered=ordered)


def test_results_are_given_in_order_or_as_they_come(changed):
    for ordered, expected in ((True, ["a", "b", "c"]), (False, ["c", "a", "b"])):
        found = results(changed, ordered=ordered)
        found.put(2, ["c"])
        found.put(0, ["a", "b"])
        found.close(3)
        assert list(found) == expected


def test_a_failure_is_raised_in_its_place_and_the_others_go_on(changed):
    found = results(changed)
    found.put(0, ["a"])
    found.put_error(1, KeyError())
    found.put(2, ["c"])
    found.close(3)
    assert next(found) == "a"
    with pytest.raises(KeyError):
        next(found)
    assert next(found) == "c"
    with pytest.raises(StopIteration):
        next(found)


def test_what_does_not_come_in_time_may_be_asked_for_again(changed):
    found = results(changed)
    with pytest.raises(multiprocessing.TimeoutError):
        found.next(timeout=0.01)
    found.put(0, ["a"])
    assert found.next(timeout=0) == "a"


def test_what_has_come_is_given_before_the_reason_why_no_more_does(changed):
    found = results(changed)
    found.put(0, ["a"])
    found.fail(FarmError("terminated"))
    found.fail(FarmError("closed"))
    assert next(found) == "a"
    for _ in range(2):
        with pytest.raises(FarmError, match="terminated"):
            next(found)


def test_an_end_that_comes_late_changes_nothing_for_what_is_whole(changed):
    found = results(changed)
    found.put(0, ["a"])
    found.close(1)
    found.fail(FarmError("closed"))
    assert list(found) == ["a"]


def test_what_was_given_up_is_not_whole_though_no_more_calls_are_made(changed):
    found = results(changed)
    found.put(0, ["a"])
    found.fail(FarmError("terminated"))
    found.close(1)
    assert next(found) == "a"
    with pytest.raises(FarmError, match="terminated"):
        next(found)


def test_room_is_what_is_not_taken(changed):
    found = results(changed, ahead=10)
    found.put(0, list(range(10)))
    assert found.has_room(9)
    assert not found.has_room(10)
    next(found)
    assert found.has_room(10)


def test_who_waits_for_room_is_woken_by_whoever_waits_for_a_result(changed):
    """Else both would wait for ever: ten were made, all of them were taken, and no more come."""
    found, roomy = results(changed, ahead=10), threading.Event()

    def make() -> None:
        with changed:
            waiting.set()
            changed.wait_for(lambda: found.has_room(10))
        roomy.set()
        found.put(10, ["k"])
        tell(changed)

    waiting = threading.Event()
    found.put(0, list(range(10)))
    maker = threading.Thread(target=make)
    maker.start()
    assert waiting.wait(PATIENCE)
    assert [found.next(PATIENCE) for _ in range(11)] == [*range(10), "k"]
    maker.join(PATIENCE)


def test_threads_may_share_it(changed):
    found, got = results(changed, ahead=20_000), Counter()
    lock = threading.Lock()

    def take() -> None:
        mine = list(found)
        with lock:
            got.update(mine)

    takers = [threading.Thread(target=take) for _ in range(8)]
    for taker in takers:
        taker.start()
    for start in range(0, 10_000, 10):
        found.put(start, list(range(start, start + 10)))
        tell(changed)
    found.close(10_000)
    for taker in takers:
        taker.join(PATIENCE)
    assert got == Counter(range(10_000))
