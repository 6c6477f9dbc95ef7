"""Arguments out of an iterable that is slow, endless, broken, or waits itself."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from farm_harness import PATIENCE, eventually

from farm.client import pulling as module
from farm.client.changed import Changed
from farm.client.pulling import Pulling


class Source:
    """An iterable that gives what the test puts into it."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Any] = SimpleQueue()

    def put(self, *items: Any) -> None:
        for item in items:
            self._queue.put(item)

    def __iter__(self) -> Iterator[Any]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item


@pytest.fixture
def start():
    """Starts pulling; every thread has ended afterwards."""
    started: list[tuple[Pulling, threading.Thread]] = []
    changed = Changed()

    def start(iterable: Iterable[Any], has_room: Any = lambda _: True) -> Pulling:
        pulling = Pulling(changed, iterable, has_room)
        thread = threading.Thread(target=pulling.run)
        thread.start()
        started.append((pulling, thread))
        return pulling

    yield start
    for pulling, thread in started:
        pulling.stop()
        with changed:
            changed.notify_all()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_what_is_there_goes_though_nothing_follows(start, monkeypatch):
    source = Source()
    pulling = start(source)
    for item in range(1, 4):
        source.put(item)
        assert pulling.take(16) == [item]
    source.put(None)
    assert pulling.take(16) == []


def test_the_first_waits_for_no_others(start, monkeypatch):
    monkeypatch.setattr(module, "GATHER_SECONDS", 3600.0)
    source = Source()
    pulling = start(source)
    source.put(1)
    assert pulling.take(16) == [1]
    source.put(2, 3, 4)
    assert pulling.take(3) == [2, 3, 4], "those that follow go together"
    source.put(5, 6, None)
    assert pulling.take(3) == [5, 6], "fewer at the end"


def test_an_endless_iterable_is_read_as_far_as_there_is_room(start):
    room, read = [10], itertools.count()
    pulling = start(read, lambda made: made < room[0])
    eventually(lambda: pulling._made == 10, "it reads ten")
    assert pulling.take(10) == list(range(10))
    assert next(read) == 10
    room[0] = 15
    with pulling._changed:
        pulling._changed.notify_all()
    eventually(lambda: pulling._made == 15, "it reads five more")
    assert pulling.take(5) == [11, 12, 13, 14, 15]


def test_what_the_iterable_raises_is_kept_with_what_came_before(start):
    source = Source()
    pulling = start(source)
    source.put(1, 2, error := KeyError("x"))
    eventually(lambda: pulling.error is error, "it has raised")
    assert pulling.take(100) == [1, 2]
    assert pulling.take(100) == []


def test_stopped_it_wakes_who_takes_and_reads_no_more(start):
    source = Source()
    pulling = start(source)
    taken: list[Any] = []
    taker = threading.Thread(target=lambda: taken.append(pulling.take(5)))
    taker.start()
    eventually(lambda: taker.is_alive() and not pulling._items, "it waits")
    pulling.stop()
    taker.join(PATIENCE)
    assert taken == [[]]
    source.put(1)
