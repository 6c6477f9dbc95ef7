"""What is sent for a function and its params."""

from __future__ import annotations

import functools
import math
import threading
from types import MappingProxyType

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.spec import Options, PickledCall, PythonCall
from farm.client import submission
from farm.client.submission import Params, call_of, load_file, of_function
from farm.errors import BatchFileError, UsageError
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


def test_a_function_has_a_name_and_its_options():
    one = of_function(top_level, None, Options(retries=2))
    assert (one.name, one.options.retries, one.items) == ("top_level", 2, "named")
    assert one.call == PythonCall(f"{__name__}:top_level")
    assert of_function(top_level, "mine", Options()).name == "mine"
    assert of_function(functools.partial(int), None, Options()).name == "partial"


def test_points_are_given_in_order_until_none_is_left():
    params = Params({"x": x} for x in range(7))
    assert params.take(5) == [{"x": x} for x in range(5)]
    assert params.take(5) == [{"x": 5}, {"x": 6}]
    assert params.take(5) == []


def test_points_of_many_bytes_are_few(monkeypatch):
    monkeypatch.setattr(submission, "BLOCK_BYTES", 1000)
    params = Params([{"x": b"x" * 400, "y": 1}] * 7)
    assert [len(params.take(100)) for _ in range(4)] == [3, 3, 1, 0]


def test_params_are_taken_as_they_are_needed():
    taken = []

    def points():
        for x in range(5000):
            taken.append(x)
            yield {"x": x}

    Params(points()).take(100)
    assert len(taken) == 100


def test_params_are_kept_as_they_were_when_taken():
    point = {"x": 0}

    def points():
        for x in range(3):
            point["x"] = x
            yield point

    assert Params(points()).take(9) == [{"x": 0}, {"x": 1}, {"x": 2}]


def test_any_mapping_will_do():
    assert Params([MappingProxyType({"x": 1})]).take(1) == [{"x": 1}]


def test_what_is_no_mapping_is_named():
    params = Params([{"x": 1}, {"x": 2}, {"x": 3}, 5])
    params.take(2)
    with pytest.raises(UsageError, match=r"params\[3\] is 5: params is a list of mappings"):
        params.take(2)


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
