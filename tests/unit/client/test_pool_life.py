"""A pool from its beginning to its end, over a link that is the test's."""

from __future__ import annotations

import inspect
import multiprocessing.pool
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fake_farm import done
from fake_link import FakeLink
from farm_harness import PATIENCE, eventually

from farm.client import pool as module
from farm.client.pool import SessionPool
from farm.errors import FarmError, UsageError
from farm.wire.messages import Append, Submit


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
def pool(link, monkeypatch):
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.1)
    made = SessionPool(link)  # type: ignore[arg-type]
    yield made
    made.terminate()


class Unpicklable:
    def __reduce__(self) -> Any:
        raise ValueError("this cannot be pickled")


def not_running(pool: SessionPool) -> None:
    """Whatever is called says so, as `multiprocessing.Pool` does."""
    calls: list[Any] = [
        lambda: pool.apply(abs, (1,)),
        lambda: pool.apply_async(abs, (1,)),
        lambda: pool.map(abs, [1]),
        lambda: pool.map_async(abs, [1]),
        lambda: pool.starmap(pow, [(1, 2)]),
        lambda: pool.starmap_async(pow, [(1, 2)]),
        lambda: pool.imap(abs, [1]),
        lambda: pool.imap_unordered(abs, [1]),
        lambda: pool.__enter__(),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="Pool not running"):
            call()


def test_its_methods_take_what_those_of_multiprocessing_take():
    for name in ("apply", "apply_async", "map", "map_async", "starmap", "starmap_async"):
        theirs = inspect.signature(getattr(multiprocessing.pool.Pool, name)).parameters
        ours = inspect.signature(getattr(SessionPool, name)).parameters
        assert list(ours) == list(theirs)
        assert [one.default for one in ours.values()] == [one.default for one in theirs.values()]
    for name in ("imap", "imap_unordered"):
        theirs = inspect.signature(getattr(multiprocessing.pool.Pool, name)).parameters
        assert list(inspect.signature(getattr(SessionPool, name)).parameters) == list(theirs)


@pytest.mark.parametrize("size", [0, -1])
def test_a_chunksize_below_one_is_refused(pool, link, size):
    for method in (pool.map, pool.map_async, pool.starmap, pool.imap, pool.imap_unordered):
        with pytest.raises(ValueError, match=f"Chunksize must be 1\\+, not {size}"):
            method(abs, [1], size)
    assert link.said == []


def test_nothing_is_sent_for_no_arguments(pool, link):
    assert pool.map(abs, []) == []
    assert pool.starmap(pow, iter(())) == []
    assert link.said == []


@pytest.mark.parametrize("size", [None, 5])
def test_of_no_arguments_no_callback_hears_as_in_multiprocessing(pool, link, size):
    called: list[Any] = []
    theirs = multiprocessing.pool.ThreadPool(1)
    try:
        for one in (pool, theirs):
            result = one.map_async(abs, (), size, called.append, called.append)
            assert result.ready()
            assert (result.successful(), result.get(0)) == (True, [])
    finally:
        theirs.terminate()
    assert called == []
    assert link.said == []


def test_as_many_results_are_waited_for_as_there_were_arguments(pool, link):
    """Whatever ``len`` says, and though the list is changed meanwhile."""

    class Frame(dict[str, int]):
        def __len__(self) -> int:
            return 100

    result = pool.map_async(abs, Frame(a=1, b=2))
    link.request(Submit)
    link.accept()
    link.page([done(0, [1, 2])])
    assert result.get(0) == [1, 2]


def test_what_cannot_be_sent_is_the_result(pool, link):
    errors: list[BaseException] = []
    single = pool.apply_async(abs, (Unpicklable(),), error_callback=errors.append)
    with pytest.raises(ValueError, match="this cannot be pickled"):
        single.get(0)
    many = pool.map_async(abs, [Unpicklable()], error_callback=errors.append)
    with pytest.raises(ValueError, match="this cannot be pickled"):
        many.get(PATIENCE)
    with pytest.raises(UsageError):
        pool.map_async(7, [1], error_callback=errors.append).get(PATIENCE)
    with pytest.raises(UsageError):
        next(pool.imap(7, [1]))
    assert len(errors) == 3
    with pytest.raises(TypeError):
        pool.apply_async(abs, 7).get(0)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_an_argument_of_imap_that_cannot_be_sent_raises_alone_when_its_turn_comes(
    pool, link, method
):
    found = getattr(pool, method)(abs, [-1, Unpicklable(), -3])
    eventually(lambda: link.accept() or (0, 2) in _joined(link), "the others are sent")
    eventually(lambda: link.accept() or Append(1, [], True) in link.said, "it is closed")
    link.page([done(0, [1, 3])], ended=True)
    came: list[Any] = []
    for _ in range(3):
        try:
            came.append(found.next(PATIENCE))
        except ValueError as error:
            came.append(str(error))
    expected = [1, "this cannot be pickled", 3]
    assert came == expected if method == "imap" else sorted(map(str, came)) == ["1", "3", came[0]]
    with pytest.raises(StopIteration):
        found.next(PATIENCE)
    assert link.cancelled == []


def test_a_chunksize_of_one_costs_no_message_for_each_call(pool, link):
    made = pool.map_async(abs, range(5000), 1)
    eventually(lambda: link.accept() or (0, 5000) in _joined(link), "all are sent")
    assert len(link.blocks()) <= 5
    link.page([done(0, list(range(5000)))])
    assert made.get(PATIENCE) == list(range(5000))


def test_closed_it_takes_nothing_and_joined_it_is_over(pool, link):
    single = pool.apply_async(abs, (-1,))
    link.request(Submit)
    many = pool.map_async(abs, [-1, -2])
    with pytest.raises(ValueError, match="Pool is still running"):
        pool.join()
    pool.close()
    pool.close()
    not_running(pool)
    joined = threading.Thread(target=pool.join)
    joined.start()
    link.request(Submit, 1)
    link.accept()
    link.page([done(0, [1])], nth=0)
    link.page([done(0, [1, 2])], nth=1)
    eventually(lambda: link.accept() or any(isinstance(s, Append) for s in link.said), "it closes")
    link.accept()
    link.page(ended=True, nth=1)
    assert joined.is_alive()
    link.page(ended=True, nth=0)
    joined.join(PATIENCE)
    assert not joined.is_alive()
    assert (single.get(0), many.get(0)) == (1, [1, 2])
    assert link.kinds().count("Forget") == 2
    assert link.cancelled == []
    assert link.closed is not None
    pool.join()


def test_terminated_everything_that_is_open_fails_and_the_server_hears_of_it(pool, link):
    single, many, one_by_one = (
        pool.apply_async(abs, (-1,)), pool.map_async(abs, [-1]), pool.imap(abs, [-1]),
    )  # fmt: skip
    eventually(lambda: link.unanswered(Submit) == 3, "all are sent")
    link.accept()
    pool.terminate()
    assert len(link.cancelled) == 3
    for wait in (lambda: single.get(0), lambda: many.get(0), lambda: one_by_one.next(0)):
        with pytest.raises(FarmError, match="the pool was terminated before this had a result"):
            wait()
    not_running(pool)
    pool.join()
    pool.terminate()


def test_terminated_by_another_thread_who_waits_is_told(pool, link):
    errors: list[BaseException] = []

    working = threading.Thread(target=lambda: _keep(errors, lambda: pool.map(abs, [-1])))
    working.start()
    link.request(Submit)
    pool.terminate()
    working.join(PATIENCE)
    assert "the pool was terminated" in str(errors[0])


def test_terminated_it_waits_until_the_server_has_ended_everything(pool, link, monkeypatch):
    monkeypatch.setattr(module, "LEAVE_SECONDS", PATIENCE)
    result = pool.map_async(abs, [-1])
    link.request(Submit)
    link.accept()
    ending = threading.Thread(target=pool.terminate)
    ending.start()
    eventually(lambda: link.cancelled, "it is cancelled")
    link.page([done(0, [1])])
    assert link.closed is None
    link.page(ended=True)
    ending.join(PATIENCE)
    assert result.get(0) == [1], "it came in time"
    assert link.kinds()[-1] == "Forget"


def test_a_callback_may_terminate_the_pool(pool, link):
    pool.apply_async(abs, (-1,), callback=lambda _: pool.terminate())
    link.request(Submit)
    other = pool.map_async(abs, [1])
    link.request(Submit, 1)
    link.accept()
    link.page([done(0, [1])], nth=0)
    with pytest.raises(FarmError, match="terminated"):
        other.get(0)


def test_a_with_block_terminates_it_whatever_happens_inside(link):
    with pytest.raises(KeyError), SessionPool(link) as pool:  # type: ignore[arg-type]
        raise KeyError
    not_running(pool)
    assert repr(pool) == "<SessionPool terminated on nowhere:1>"


def test_an_iterable_that_raises_does_so_in_its_place(pool, link):
    def broken() -> Any:
        yield -1
        yield -2
        raise KeyError("x")

    found = pool.imap(abs, broken())
    eventually(lambda: link.accept() or (0, 2) in _joined(link), "both are sent")
    link.accept()
    eventually(lambda: link.accept() or Append(1, [], True) in link.said, "it is closed")
    link.page([done(0, [1, 2])])
    assert [found.next(PATIENCE), found.next(PATIENCE)] == [1, 2]
    with pytest.raises(KeyError, match="x"):
        found.next(PATIENCE)
    with pytest.raises(StopIteration):
        found.next(PATIENCE)
    assert link.cancelled == []


def _joined(link: FakeLink) -> set[tuple[int, int]]:
    blocks = link.blocks()
    return {(blocks[0][0], blocks[-1][1])} if blocks else set()


def test_an_endless_iterable_is_read_as_far_as_its_results_are_taken(pool, link, monkeypatch):
    monkeypatch.setattr(module, "AHEAD", 50)
    read: list[int] = []

    def endless() -> Any:
        while True:
            read.append(len(read))
            yield read[-1]

    found = pool.imap(abs, endless())
    eventually(lambda: link.accept() or (0, 50) in _joined(link), "fifty are sent")
    assert len(read) == 50
    link.page([done(0, list(range(50)))])
    assert [found.next(PATIENCE) for _ in range(50)] == list(range(50))
    assert len(read) == 50, "whoever waits for the next one makes room"
    ends: list[BaseException] = []
    waiting = threading.Thread(target=lambda: _keep(ends, lambda: found.next(PATIENCE)))
    waiting.start()
    eventually(lambda: link.accept() or (0, 100) in _joined(link), "fifty more are sent")
    pool.terminate()
    waiting.join(PATIENCE)
    assert "the pool was terminated" in str(ends[0])
    names = {"farm-imap", "farm-imap-arguments"}
    eventually(lambda: not names & {one.name for one in threading.enumerate()}, "nobody reads on")


def test_who_sends_calls_must_not_wait_for_them_either(pool, link):
    errors: list[BaseException] = []
    link.closed = FarmError("the link is given up")
    pool.apply_async(
        abs, (1,), error_callback=lambda _: _keep(errors, lambda: pool.apply(abs, (1,)))
    )
    eventually(lambda: errors, "its callback is called")
    assert "must not wait" in str(errors[0])


@pytest.mark.parametrize("call", ["map", "imap"])
def test_what_could_not_even_be_begun_holds_nobody_up(pool, link, call):
    link.closed = FarmError("the link is given up")
    with pytest.raises(FarmError, match="the link is given up"):
        list(getattr(pool, call)(abs, [-1]))
    pool.close()
    joined = threading.Thread(target=pool.join, daemon=True)
    joined.start()
    joined.join(PATIENCE / 3)
    assert not joined.is_alive()


def _keep(errors: list[BaseException], call: Callable[[], object]) -> None:
    try:
        call()
    except FarmError as error:
        errors.append(error)


def test_what_was_called_before_it_was_closed_is_sent_though_it_takes_time(pool, link):
    """A map and an imap send in threads of their own, which may be late."""
    many, one_by_one = pool.map_async(abs, [-1]), pool.imap(abs, [-2])
    pool.close()
    link.request(Submit, 1)
    link.accept()
    eventually(lambda: link.accept() or len(link._streams) == 2, "both are followed")
    assert not many.ready()
    pool.terminate()
    with pytest.raises(FarmError, match="the pool was terminated"):
        one_by_one.next(0)


def test_a_callback_may_make_calls_of_every_kind(pool, link):
    made: list[Any] = []

    def callback(_: Any) -> None:
        made.append(pool.apply_async(abs, (-1,)))
        made.append(pool.map_async(abs, range(10)))
        made.append(pool.imap(abs, range(3)))
        with pytest.raises(FarmError, match="must not wait"):
            pool.apply(abs, (1,))

    pool.apply_async(abs, (-1,), callback=callback)
    link.request(Submit)
    link.accept()
    link.page([done(0, [1])])
    eventually(lambda: link.accept() or link.blocks().count((0, 10)) == 1, "ten are sent by others")
    assert len(made) == 3
    assert link.drained > 0


def test_in_a_forked_process_it_says_so_and_leaves_the_parents_alone(pool, link, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(FarmError, match="belongs to another process"):
        pool.apply_async(abs, (1,))
    pool.terminate()
    assert link.closed is None
    monkeypatch.undo()
    assert pool.apply_async(abs, (1,))
