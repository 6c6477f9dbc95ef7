"""What `farm.Pool` is made with: what `multiprocessing.Pool` takes, or an error says why not."""

from __future__ import annotations

import inspect
import multiprocessing.pool
from typing import Any

import pytest
from fake_link import FakeLink

import farm
from farm import pool as module


@pytest.fixture
def started(monkeypatch) -> list[int | None]:
    """Of how many processes farms of their own were started."""
    counts: list[int | None] = []

    def local(processes: int | None) -> Any:
        counts.append(processes)
        return FakeLink()

    monkeypatch.delenv("FARM_HOST", raising=False)
    monkeypatch.setattr(module, "local", local)
    return counts


class Two:
    def __index__(self) -> int:
        return 2


def test_its_arguments_come_in_the_order_of_multiprocessing():
    theirs = list(inspect.signature(multiprocessing.pool.Pool).parameters)
    assert list(inspect.signature(farm.Pool).parameters)[:4] == theirs[:4]


@pytest.mark.parametrize(
    ("args", "count"),
    [
        ((), None),
        ((None,), None),
        ((2,), 2),
        ((True,), 1),
        ((Two(),), 2),
        ((2, None), 2),
        ((2, None, (), None), 2),
    ],
)
def test_it_has_as_many_processes_as_it_is_told(started, args, count):
    farm.Pool(*args).terminate()
    assert started == [count]
    assert type(started[0]) in (int, type(None))


@pytest.mark.parametrize("processes", ["a", "127.0.0.1:7766", 1.5, b"2"])
def test_what_is_no_number_is_a_type_error(started, processes):
    with pytest.raises(TypeError, match=r"processes is a number, not .*; a server is farm\.Pool"):
        farm.Pool(processes)
    assert started == []


@pytest.mark.parametrize("processes", [0, -1])
def test_fewer_than_one_are_a_value_error(started, processes):
    with pytest.raises(ValueError, match="Number of processes must be at least 1"):
        farm.Pool(processes)
    assert started == []


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"initializer": print}, "initializer"),
        ({"initializer": print, "initargs": (1,)}, "initializer"),
        ({"maxtasksperchild": 1}, "maxtasksperchild"),
        ({"maxtasksperchild": 0}, "maxtasksperchild"),
    ],
)
def test_what_is_not_there_is_refused_rather_than_ignored(started, options, name):
    with pytest.raises(TypeError, match=f"farm.Pool has no {name}"):
        farm.Pool(1, **options)
    assert started == []
