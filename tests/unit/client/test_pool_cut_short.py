"""A batch of a pool that ends before its time: no result is missing without a word."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from multiprocessing import TimeoutError as PoolTimeoutError
from typing import Any

import pytest
from fake_farm import done
from fake_link import FakeLink
from farm_harness import PATIENCE, eventually

from farm.client import blocks
from farm.client import pool as module
from farm.client.pool import SessionPool
from farm.errors import BatchCancelledError, FarmError, RequestError
from farm.wire.messages import Append, Submit


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
def pool(link, monkeypatch) -> Iterator[SessionPool]:
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.1)
    monkeypatch.setattr(module, "AHEAD", 50)
    made = SessionPool(link)
    yield made
    made.terminate()


IMAPS = pytest.mark.parametrize("method", ["imap", "imap_unordered"])


def until_end(found: Any) -> tuple[list[Any], BaseException | None]:
    """The results that come, and what is raised in the place of the next one, if anything is."""
    came: list[Any] = []
    try:
        while True:
            came.append(found.next(PATIENCE))
    except StopIteration:
        return came, None
    except Exception as error:
        return came, error


def no_sender() -> bool:
    names = {"farm-imap", "farm-imap-arguments"}
    return not any(one.name in names for one in threading.enumerate())


def sent(link: FakeLink, count: int) -> None:
    """So many calls are sent and acknowledged."""
    eventually(lambda: link.accept() or (link.blocks() or [(0, 0)])[-1][1] == count, "all are sent")
    link.accept()


@IMAPS
@pytest.mark.parametrize("came", [0, 3, 50])
def test_an_endless_imap_that_somebody_cancels_raises_after_what_came(pool, link, method, came):
    found = getattr(pool, method)(abs, itertools.count())
    sent(link, 50)
    link.page([done(0, list(range(came)))] if came else [])
    link.page(ended=True)
    eventually(no_sender, "nobody sends any more")
    results, error = until_end(found)
    assert results == list(range(came))
    assert isinstance(error, BatchCancelledError)
    assert isinstance(until_end(found)[1], BatchCancelledError), "and it goes on doing so"


@IMAPS
def test_an_imap_that_is_cancelled_before_anything_is_acknowledged_raises(pool, link, method):
    found = getattr(pool, method)(abs, itertools.count())
    link.request(Submit)
    pool.terminate()
    eventually(no_sender, "nobody sends any more")
    results, error = until_end(found)
    assert (results, type(error)) == ([], FarmError)
    assert "the pool was terminated" in str(error)


@IMAPS
def test_an_imap_of_which_nothing_was_sent_says_that_the_pool_was_terminated(pool, link, method):
    go = threading.Event()

    def slow() -> Iterator[int]:
        go.wait(PATIENCE)
        yield 1

    found = getattr(pool, method)(abs, slow())
    pool.terminate()
    go.set()
    eventually(no_sender, "nobody sends any more")
    results, error = until_end(found)
    assert (results, type(error)) == ([], FarmError)
    assert link.blocks() == []


@IMAPS
def test_an_imap_that_is_terminated_with_all_results_so_far_raises(pool, link, method):
    found = getattr(pool, method)(abs, itertools.count())
    sent(link, 50)
    link.page([done(0, list(range(50)))])
    pool.terminate()
    eventually(no_sender, "nobody sends any more")
    results, error = until_end(found)
    assert results == list(range(50))
    assert "the pool was terminated" in str(error)


@IMAPS
def test_an_imap_whose_iterable_raises_after_the_end_says_the_end(pool, link, method):
    go = threading.Event()

    def broken() -> Iterator[int]:
        yield 1
        go.wait(PATIENCE)
        raise KeyError("x")

    found = getattr(pool, method)(abs, broken())
    sent(link, 1)
    link.page(ended=True)
    go.set()
    eventually(no_sender, "nobody sends any more")
    results, error = until_end(found)
    assert (results, type(error)) == ([], BatchCancelledError)


@IMAPS
@pytest.mark.parametrize("came", [0, 2, 3])
def test_an_imap_of_which_all_was_sent_raises_unless_all_came(pool, link, method, came):
    found = getattr(pool, method)(abs, range(3))
    eventually(lambda: link.accept() or Append(1, [], True) in link.said, "it is closed")
    link.accept()
    link.page([done(0, list(range(came)))] if came else [])
    link.page(ended=True)
    eventually(no_sender, "nobody sends any more")
    results, error = until_end(found)
    assert results == list(range(came))
    assert isinstance(error, BatchCancelledError) == (came < 3)


@pytest.mark.parametrize("came", [0, 2, 3])
def test_a_map_raises_unless_all_came(pool, link, came):
    one, star = pool.map_async(abs, range(3)), pool.starmap_async(pow, [(1, 1)] * 3)
    for nth in (0, 1):
        link.request(Submit, nth)
    link.accept()
    for _ in (one, star):
        link.page([done(0, list(range(came)))] if came else [])
        link.page(ended=True)
    for result in (one, star):
        if came == 3:
            assert result.get(PATIENCE) == [0, 1, 2]
        else:
            with pytest.raises(BatchCancelledError):
                result.get(PATIENCE)


CLOSED = RequestError("closed", "batch 1 takes no more: it was closed")


def test_calls_that_a_closed_batch_did_not_take_fail_alone(pool, link):
    taken = pool.apply_async(abs, (-1,))
    link.request(Submit)
    link.accept()
    sent_late = pool.apply_async(abs, (-2,))
    append = link.request(Append)
    waiting = pool.apply_async(abs, (-3,))
    link.say(append, CLOSED)
    for late in (sent_late, waiting):
        with pytest.raises(FarmError, match="takes no more: it was closed"):
            late.get(PATIENCE)
    assert link.cancelled == []
    after = pool.apply_async(abs, (-4,))
    link.request(Submit)
    link.page([done(0, [1])], ended=True, nth=0)
    assert taken.get(0) == 1
    link.accept()
    link.page([done(0, [4])])
    assert after.get(0) == 4


@IMAPS
def test_of_an_imap_that_a_closed_batch_cut_off_what_it_took_comes(pool, link, method):
    go = threading.Event()

    def slow() -> Iterator[int]:
        yield -1
        go.wait(PATIENCE)
        for number in itertools.count(2):
            yield -number

    found = getattr(pool, method)(abs, slow())
    sent(link, 1)
    go.set()
    link.say(link.request(Append), CLOSED)
    with pytest.raises(PoolTimeoutError):
        found.next(0)
    assert link.cancelled == []
    link.page([done(0, [1])])
    link.page(ended=True)
    eventually(no_sender, "nobody sends any more")
    results, error = until_end(found)
    assert results == [1]
    assert "takes no more: it was closed" in str(error)


def test_a_map_that_a_closed_batch_cut_off_says_so_at_its_end(pool, link, monkeypatch):
    monkeypatch.setattr(blocks, "FIRST_ITEMS", 2)
    found = pool.map_async(abs, range(4))
    link.request(Submit)
    link.accept()
    link.say(link.request(Append), CLOSED)
    link.page([done(0, [0, 1])])
    assert not found.ready()
    link.page(ended=True)
    with pytest.raises(FarmError, match="takes no more: it was closed"):
        found.get(PATIENCE)


def test_terminated_meanwhile_that_is_what_is_said(pool, link):
    pool.apply_async(abs, (-1,))
    link.request(Submit)
    link.accept()
    late = pool.apply_async(abs, (-2,))
    append = link.request(Append)
    pool._stream.cancel()
    eventually(lambda: link.cancelled, "it is cancelled")
    link.say(append, RequestError("cancelled", "batch 1 was cancelled"))
    with pytest.raises(FarmError, match="the pool was terminated"):
        late.get(0)
