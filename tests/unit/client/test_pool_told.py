"""Whoever waits for a pool is told, also where telling it goes wrong in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from fake_farm import done, failed
from fake_link import FakeLink
from farm_harness import PATIENCE, eventually

from farm.client import calls as batches
from farm.client import feed, stream
from farm.client import pool as module
from farm.client.blocks import Blocks, Unsendable
from farm.client.changed import Changed
from farm.client.pending import ResultIterator
from farm.client.pool import SessionPool
from farm.errors import FarmError, RequestError
from farm.wire.messages import Append, Submit, Submitted


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
def pool(link, monkeypatch) -> Iterator[SessionPool]:
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.1)
    made = SessionPool(link)
    yield made
    made.terminate()


def no_memory(*_: Any, **_more: Any) -> Any:
    raise MemoryError


@pytest.fixture
def three(pool, link) -> list[Any]:
    """Calls that are on the farm."""
    results = [pool.apply_async(abs, (-x,)) for x in range(3)]
    eventually(lambda: link.accept() or (link.blocks() or [(0, 0)])[-1][1] == 3, "all are sent")
    link.accept()
    return results


@pytest.mark.parametrize("outcome", [done(0, [0, 1, 2]), failed(1)])
def test_calls_whose_results_could_not_be_taken_fail(three, link, monkeypatch, outcome):
    end, attempts = three[1]._end, []

    def once_without_memory(*what: Any) -> None:
        attempts.append(what)
        if len(attempts) == 1:
            raise MemoryError
        end(*what)

    monkeypatch.setattr(three[1], "_end", once_without_memory)
    link.page([outcome])
    assert all(result.ready() for result in three)
    assert isinstance(three[1]._value, MemoryError | FarmError)
    assert link.cancelled == ["1"], "what comes now comes to nobody"
    link.page(ended=True)
    assert link.kinds()[-1] == "Forget"


def _is_closed(link: FakeLink) -> bool:
    return any(getattr(one, "close", False) or not getattr(one, "open", True) for one in link.said)


@pytest.mark.parametrize("method", ["imap", "imap_unordered", "map_async"])
def test_who_maps_and_whose_results_could_not_be_taken_is_told(pool, link, monkeypatch, method):
    found = getattr(pool, method)(abs, range(3))
    eventually(lambda: link.accept() or _is_closed(link), "all are sent")
    link.accept()
    monkeypatch.setattr(found, "put", no_memory)
    link.page([done(0, [0, 1, 2])])
    with pytest.raises(FarmError, match="could not be taken: MemoryError"):
        found.get(PATIENCE) if method == "map_async" else found.next(PATIENCE)
    assert link.cancelled == ["1"]
    assert not pool._mappings


@pytest.mark.parametrize("late", [done(1, [1, 2]), failed(1)])
@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_whoever_was_told_that_no_more_results_come_gets_none(
    pool, link, monkeypatch, method, late
):
    found = getattr(pool, method)(abs, range(3))
    eventually(lambda: link.accept() or _is_closed(link), "all are sent")
    link.accept()
    with monkeypatch.context() as patch:
        patch.setattr(found, "put", no_memory)
        link.page([done(2, [2])])
    for page in ([], [done(0, [0])], [late]):
        link.page(page)
        with pytest.raises(FarmError, match="could not be taken: MemoryError"):
            found.next(PATIENCE)


def test_calls_that_could_not_be_sent_when_there_was_room_fail(pool, link, monkeypatch):
    first = pool.apply_async(abs, (-1,))
    link.request(Submit)
    second = pool.apply_async(abs, (-2,))
    monkeypatch.setattr(batches, "pickle", SimpleNamespace(dumps=no_memory))
    link.accept()
    for result in (first, second):
        with pytest.raises(FarmError, match="could not be sent: MemoryError"):
            result.get(PATIENCE)
    monkeypatch.undo()
    assert link.cancelled == ["1"]


def test_calls_of_a_batch_that_cannot_be_followed_fail(pool, link, monkeypatch):
    result = pool.apply_async(abs, (-1,))
    monkeypatch.setattr(feed, "Follower", no_memory)
    link.say(link.request(Submit), Submitted(1))
    with pytest.raises(FarmError, match="MemoryError"):
        result.get(PATIENCE)
    assert link.cancelled == ["1"]


def test_a_refusal_is_told_though_the_batch_cannot_be_cancelled(three, pool, link, monkeypatch):
    late = pool.apply_async(abs, (-4,))
    append = link.request(Append)
    monkeypatch.setattr(feed, "say", no_memory)
    with pytest.raises(MemoryError):
        link.say(append, RequestError("too-large", "over --max-batch"))
    assert all(result.ready() for result in [*three, late])


def test_the_thread_that_sends_calls_outlives_what_goes_wrong(pool, link, monkeypatch):
    monkeypatch.setattr(stream, "AGAIN_SECONDS", 0.0)
    drains: list[int] = []

    def drain() -> None:
        drains.append(1)
        if len(drains) < 3:
            raise MemoryError

    monkeypatch.setattr(link, "drain", drain)
    pool.apply_async(abs, (-1,))
    eventually(lambda: len(drains) == 3, "it is tried again")
    link.request(Submit)
    link.accept()
    result = pool.apply_async(abs, (-2,))
    link.request(Append)
    link.accept()
    link.page([done(1, [2])])
    assert result.get(PATIENCE) == 2


class Untrue(Exception):
    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")


def test_the_end_of_an_iterator_may_be_an_exception_of_any_class():
    found = ResultIterator(Changed(), 10, ordered=True)
    found.fail(Untrue())
    found.fail(ValueError("later"))
    with pytest.raises(Untrue):
        found.next(0)


@dataclass(frozen=True)
class Frozen(Exception):
    text: str


class Unpicklable:
    def __reduce__(self) -> Any:
        raise Frozen("no")


def test_an_argument_fails_alone_whose_exception_takes_no_note():
    taken = iter([[1, Unpicklable(), 2], []])
    blocks = list(Blocks(1 << 20, list, "argument {}".format).of(lambda _: next(taken)))
    assert [type(one).__name__ for one in blocks] == ["Packed", "Unsendable", "Packed"]
    assert isinstance(blocks[1], Unsendable)
    assert isinstance(blocks[1].error, Frozen)
