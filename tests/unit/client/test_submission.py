"""What is sent for a function and its params."""

from __future__ import annotations

import functools
import math
import pickle
import threading

import cloudpickle
import pytest
from fake_farm import FakeFarm
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.spec import Options, PickledCall, PythonCall, decode
from farm.client import submission
from farm.client.session import Session
from farm.client.submission import blocks_of, call_of, load_file, of_function
from farm.errors import BatchFileError, UsageError
from farm.wire import messages
from farm.wire.greeting import LONGEST_PAUSE, pause_before


class Outer:
    class Inner:
        def method(self): ...

    @staticmethod
    def static(): ...


def top_level(x): ...


@pytest.mark.parametrize(
    ("function", "target"),
    [
        (top_level, f"{__name__}:top_level"),
        (math.sqrt, "math:sqrt"),
        (Outer.Inner, f"{__name__}:Outer.Inner"),
        (Outer.static, f"{__name__}:Outer.static"),
        (dict, "builtins:dict"),
    ],
)
def test_what_can_be_imported_travels_by_name(function, target):
    assert call_of(function) == PythonCall(target)


def test_what_cannot_be_imported_travels_by_value():
    def inner(x):
        return x + 1

    hidden = top_level.__class__(top_level.__code__, {}, "top_level")
    hidden.__module__ = __name__
    for function in (inner, lambda x: x + 1, functools.partial(int, "5"), hidden):
        call = call_of(function)
        assert isinstance(call, PickledCall)
        assert callable(cloudpickle.loads(call.payload))
    assert cloudpickle.loads(call_of(inner).payload)(1) == 2
    assert call_of(inner).name.endswith("inner")


def test_what_belongs_to_main_travels_by_value(monkeypatch):
    monkeypatch.setattr(top_level, "__module__", "__main__")
    assert isinstance(call_of(top_level), PickledCall)


@pytest.mark.parametrize("wrong", [3, "text", threading.Lock()])
def test_what_cannot_be_called_is_refused(wrong):
    with pytest.raises(UsageError, match="cannot be called"):
        call_of(wrong)


def test_what_cannot_be_pickled_is_refused():
    lock = threading.Lock()
    with pytest.raises(UsageError, match="cannot be sent to nodes"):
        call_of(lambda: lock)


def test_a_function_has_a_name_a_token_and_its_options():
    one = of_function(top_level, None, Options(retries=2))
    assert (one.name, one.options.retries, one.open) == ("top_level", 2, True)
    assert decode(one.spec).call == PythonCall(f"{__name__}:top_level")
    assert of_function(top_level, "mine", Options()).name == "mine"
    assert of_function(functools.partial(int), None, Options()).name == "partial"
    assert of_function(top_level, None, Options()).token != one.token


def shape(blocks):
    return [(block.start, block.stop) for block in blocks]


@given(st.integers(0, 25), st.integers(1, 7))
def test_blocks_hold_all_params_in_order_without_a_gap(count, size):
    before = submission.BLOCK_ITEMS
    submission.BLOCK_ITEMS = size
    try:
        blocks = list(blocks_of({"x": x} for x in range(count)))
    finally:
        submission.BLOCK_ITEMS = before
    items = [item for block in blocks for item in pickle.loads(block.payload)]
    assert items == [((), {"x": x}) for x in range(count)]
    assert [i for start, stop in shape(blocks) for i in range(start, stop)] == list(range(count))
    assert all(0 < stop - start <= size for start, stop in shape(blocks))


def test_a_block_is_full_at_so_many_bytes(monkeypatch):
    monkeypatch.setattr(submission, "BLOCK_BYTES", 1000)
    blocks = list(blocks_of([{"x": b"x" * 400}] * 7))
    assert shape(blocks) == [(0, 3), (3, 6), (6, 7)]


def test_params_are_taken_as_they_are_needed():
    taken = []

    def points():
        for x in range(5000):
            taken.append(x)
            yield {"x": x}

    next(blocks_of(points()))
    assert len(taken) == submission.BLOCK_ITEMS


def test_params_are_kept_as_they_were_when_taken():
    point = {"x": 0}

    def points():
        for x in range(3):
            point["x"] = x
            yield point

    (block,) = blocks_of(points())
    assert [kwargs["x"] for _, kwargs in pickle.loads(block.payload)] == [0, 1, 2]


def test_what_is_no_mapping_is_named():
    with pytest.raises(UsageError, match=r"params\[2\] is 5: params is a list of mappings"):
        list(blocks_of([{"x": 1}, {"x": 2}, 5]))


def test_what_cannot_be_sent_is_named():
    with pytest.raises(UsageError, match=r"params\[0\] to params\[1\] cannot be sent"):
        list(blocks_of([{"x": 1}, {"x": threading.Lock()}]))


def test_what_is_too_large_is_named(monkeypatch):
    monkeypatch.setattr(submission, "MAX_FRAME", submission.SPARE_BYTES + 1000)
    with pytest.raises(UsageError, match=r"have 2,\d+ bytes; the limit is 1,000"):
        list(blocks_of([{"x": b"x" * 2000}]))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe")
    for name, why in [("none.yaml", "No such file"), ("b.yaml", "it is not UTF-8")]:
        with pytest.raises(BatchFileError, match=why):
            load_file(tmp_path / name)


@given(st.integers(0, 10_000))
def test_the_pause_before_connecting_again_has_bounds(attempt):
    assert 0.05 <= pause_before(attempt) <= LONGEST_PAUSE


def test_the_pause_grows_and_is_not_the_same_for_all():
    assert max(pause_before(0) for _ in range(50)) <= 0.1
    assert min(pause_before(20) for _ in range(50)) >= LONGEST_PAUSE / 2
    assert len({pause_before(3) for _ in range(20)}) > 1


def test_very_many_small_blocks_go_in_several_messages(monkeypatch):
    monkeypatch.setattr(submission, "BLOCK_ITEMS", 1)
    monkeypatch.setattr(messages, "MAX_ITEMS", 3)
    farm = FakeFarm()
    batch = Session(farm).submit(len, params=[{"obj": str(n)} for n in range(10)])
    assert [len(one.blocks) for one in farm.asked] == [3, 3, 3, 1]
    assert (farm.batches[batch.id].total, farm.batches[batch.id].open) == (10, False)
