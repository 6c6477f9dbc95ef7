"""The result dict of plain clients: what is long is read a bit at a time, and within bounds."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from farm_service import World

from farm.server import results as module
from farm.server.queue import Caller, TaskQueue
from farm.server.results import ResultDict
from farm.wire import builtins


class Farm:
    """A server with a task queue; results are recorded as a node's."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.caller = Caller(world.core, "192.0.2.1:4711", -1, "somebody")
        self.tasks = TaskQueue(world.core)
        self.results = ResultDict(world.core, self.tasks)

    def put(self, calls: int) -> None:
        for _ in range(calls):
            self.tasks.put(self.caller, ("m:f",))
        self.world.clock.turn()

    def record(self, start: int, values: list[Any]) -> None:
        """A part, as a node sends it."""
        batch, part = self.tasks.batch, (start, start + len(values))
        assert batch is not None
        self.world.core.record_done(
            batch, 0, part, pickle.dumps(values), bytes(4 * len(values)), 0.0
        )

    def get(self, asked: asyncio.Future[Any]) -> Any:
        self.world.clock.turn()
        return asked.result()


@pytest.fixture
def farm(tmp_path):
    world = World(tmp_path)
    yield Farm(world)
    world.kill()


@pytest.fixture
def pauses(monkeypatch):
    """How often others had their turn since the last look."""
    count = 0
    advance = module._advance

    def counted(*args: Any) -> bool:
        nonlocal count
        has_more = advance(*args)
        count += has_more
        return has_more

    def look() -> int:
        nonlocal count
        before, count = count, 0
        return before

    monkeypatch.setattr(module, "_advance", counted)
    return look


def test_a_long_result_is_read_a_bit_at_a_time(farm, pauses, monkeypatch):
    monkeypatch.setattr(module, "STEP_PARTS", 100)
    farm.put(1)
    value = list(range(300, 1300))
    farm.record(0, [value])
    assert farm.get(farm.results.getitem(farm.caller, 0)) == value
    assert 10 <= pauses() <= 25


def test_the_results_of_one_part_are_unpickled_once(farm, monkeypatch):
    farm.put(4)
    farm.record(0, ["a", "b", "c"])
    farm.record(3, ["d"])
    reads: list[bytes] = []
    load = builtins.load_in_steps
    monkeypatch.setattr(builtins, "load_in_steps", lambda p, *a: reads.append(p) or load(p, *a))
    values = [farm.get(farm.results.getitem(farm.caller, index)) for index in (0, 1, 2, 3, 0)]
    assert values == ["a", "b", "c", "d", "a"]
    assert [len(pickle.loads(payload)) for payload in reads] == [3, 1, 3]


def test_a_large_part_is_not_kept(farm, monkeypatch):
    monkeypatch.setattr(module, "MAX_KEPT", 50)
    farm.put(1)
    farm.record(0, ["x" * 100])
    assert farm.get(farm.results.getitem(farm.caller, 0)) == "x" * 100
    assert farm.results._last is None


@pytest.mark.parametrize("payload", [b"", pickle.dumps(7), pickle.dumps({}), pickle.dumps([])])
def test_what_a_node_sent_and_are_no_results_is_told(farm, payload):
    farm.put(1)
    farm.world.core.record_done(farm.tasks.batch, 0, (0, 1), payload, bytes(4), 0.0)
    for ask in (farm.results.getitem, farm.results.get, farm.results.pop):
        with pytest.raises(TypeError, match=r"the result of call 0 cannot|fewer results than"):
            farm.get(ask(farm.caller, 0))


def test_a_result_that_is_not_in_the_journal_yet_is_none(farm, monkeypatch):
    """While the disk is full, answers are made all the same."""
    farm.put(1)
    monkeypatch.setattr(farm.world.journal, "outcomes_from", lambda *_, **__: [])
    farm.record(0, [1])
    with pytest.raises(KeyError):
        farm.get(farm.results.getitem(farm.caller, 0))


def test_what_has_too_many_values_is_refused_and_stays(farm, monkeypatch):
    monkeypatch.setattr(module, "MAX_PARTS", 50)
    farm.put(1)
    farm.record(0, [list(range(1000))])
    for ask in (farm.results.getitem, farm.results.get, farm.results.pop):
        with pytest.raises(TypeError, match=r"only by farm's own client: .* more than 50 parts"):
            farm.get(ask(farm.caller, 0))
    assert farm.results.contains(farm.caller, 0)


def test_of_two_who_pop_a_result_at_once_one_has_it(farm, monkeypatch):
    monkeypatch.setattr(module, "STEP_PARTS", 10)
    farm.put(1)
    farm.record(0, [list(range(1000))])
    first, second = (farm.results.pop(farm.caller, 0) for _ in range(2))
    assert farm.get(first) == list(range(1000))
    with pytest.raises(KeyError):
        farm.get(second)


def test_what_is_longer_than_a_plain_client_may_send_is_not_read(farm, monkeypatch):
    monkeypatch.setattr(module, "MAX_PAYLOAD", 50)
    farm.put(1)
    farm.record(0, ["x" * 100])
    monkeypatch.setattr(farm.world.journal, "outcomes_from", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(TypeError, match=r"only be read by farm's own client; the limit is 50"):
        farm.get(farm.results.getitem(farm.caller, 0))
    assert farm.world.journal.payload_size(farm.tasks.batch, 7) == 0


def test_of_those_with_one_key_one_is_served_at_a_time(farm, monkeypatch):
    """Each of them would have its results in memory."""
    monkeypatch.setattr(module, "STEP_PARTS", 1)
    monkeypatch.setattr(module, "MAX_KEPT", 0)
    farm.put(1)
    farm.record(0, [list(range(1000))])
    reading: set[int] = set()
    most: list[int] = []
    load = builtins.load_in_steps

    def counted(payload, *arguments):
        reading.add(me := len(most))
        most.append(len(reading))
        try:
            return (yield from load(payload, *arguments))
        finally:
            reading.discard(me)

    monkeypatch.setattr(builtins, "load_in_steps", counted)
    asked = [farm.results.getitem(farm.caller, 0) for _ in range(5)]
    other = Caller(farm.world.core, "192.0.2.2:4711", -2, "somebody else")
    asked.append(farm.results.getitem(other, 0))
    assert [farm.get(one) for one in asked] == [list(range(1000))] * 6
    assert (len(most), max(most)) == (6, 2)
    assert farm.results._lines == {}


def test_what_nobody_waits_for_any_more_is_not_read_on(farm, pauses, monkeypatch):
    monkeypatch.setattr(module, "STEP_PARTS", 1)
    farm.put(1)
    farm.record(0, [list(range(1000))])
    farm.results.getitem(farm.caller, 0).cancel()
    farm.world.clock.turn()
    assert pauses() == 0


def test_keys_are_gathered_a_bit_at_a_time(farm, pauses, monkeypatch):
    monkeypatch.setattr(module, "STEP_KEYS", 10)
    farm.put(100)
    for start in range(0, 60, 2):
        farm.record(start, [None])
    farm.record(60, [None] * 40)
    for index in (0, 99):
        farm.get(farm.results.pop(farm.caller, index))
    pauses()
    assert farm.get(farm.results.keys(farm.caller)) == [*range(2, 60, 2), *range(60, 99)]
    assert pauses() > 5


def test_what_is_recorded_meanwhile_is_not_among_the_keys(farm, monkeypatch):
    monkeypatch.setattr(module, "STEP_KEYS", 1)
    farm.put(10)
    farm.record(0, [None] * 4)
    asked = farm.results.keys(farm.caller)
    turns = iter([lambda: True, lambda: bool(farm.record(6, [None]))])
    farm.world.core.read("somebody", lambda: next(turns)())
    assert farm.get(asked) == [0, 1, 2, 3]
    assert farm.get(farm.results.keys(farm.caller)) == [0, 1, 2, 3, 6]


def test_very_many_keys_are_refused(farm, monkeypatch):
    monkeypatch.setattr(module, "MAX_KEYS", 3)
    farm.put(4)
    farm.record(0, [None] * 3)
    assert farm.get(farm.results.keys(farm.caller)) == [0, 1, 2]
    farm.record(3, [None])
    with pytest.raises(ValueError, match="more than 3 results"):
        farm.results.keys(farm.caller)
