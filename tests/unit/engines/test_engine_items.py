"""What an item of a block is: both kinds of arguments, one of them, several, or a whole call."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest

from farm.batch import spec as specs
from farm.batch.points import pack
from farm.client import byvalue
from farm.engines.failure import CallError
from farm.engines.invoke import Invocation, Items
from farm.engines.messages import UseProgram
from farm.engines.resolve import CoroutineRunner


def tell(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def invocation(call: specs.Call, items: specs.Items = "both") -> Invocation:
    spec = specs.encode(specs.Spec("b", call, items=items))
    made = Invocation(UseProgram(1, spec, None), CoroutineRunner())
    made.resolve()
    return made


def called(made: Invocation, items: list[Any], start: int = 0) -> list[Any]:
    call, values = made.calls(
        start, start + len(items), Items(start, pickle.dumps(items))
    )  # as a slot has them
    return [call(value) for value in values]


def python(function: Any) -> specs.PickledCall:

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return specs.PickledCall(byvalue.dumps(function), "tell", version)


def test_both_are_a_tuple_and_a_mapping():
    made = invocation(python(tell), "both")
    assert called(made, [((1, 2), {"x": 3}), ((), {})], 7) == [((1, 2), {"x": 3}), ((), {})]


def test_one_is_the_only_argument_whatever_it_is():
    items = [1, (1, 2), None, {"x": 1}]
    assert called(invocation(python(tell), "one"), items) == [((item,), {}) for item in items]


def positional(x: int, y: int = 0) -> tuple[int, int]:
    return x, y


def named(function: Any, points: list[dict[str, Any]], start: int = 0, stop: int = 0) -> list[Any]:
    made = invocation(python(function), "named")
    items = Items(7, pickle.dumps(pack(points)))
    call, values = made.calls(7 + start, 7 + (stop or len(points)), items)
    return [call(value) for value in values]


def test_named_are_keyword_arguments_however_they_are_called():
    """By position where that is the same, by name for any other function, points or both."""
    assert named(positional, [{"y": 2, "x": 1}, {"y": 4, "x": 3}]) == [(1, 2), (3, 4)]
    assert named(positional, [{"x": 1}, {"x": 2}, {"x": 3}], 1, 3) == [(2, 0), (3, 0)]
    assert named(positional, [{"x": 1}, {"x": 3, "y": 4}]) == [(1, 0), (3, 4)]
    assert named(tell, [{"y": 2, "x": 1}]) == [((), {"y": 2, "x": 1})]
    assert named(tell, [{}, {}]) == [((), {}), ((), {})]
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        named(positional, [{"x": 1, "z": 2}])


def test_a_block_that_does_not_hold_the_points_is_refused():
    with pytest.raises(CallError, match=r"does not hold the tasks \[7, 9\)"):
        named(positional, [{"x": 1}], 0, 2)
    made = invocation(python(tell), "named")
    with pytest.raises(CallError, match="does not hold points by name"):
        made.calls(0, 1, Items(0, pickle.dumps("text")))


def test_star_is_unpacked_whatever_it_is():
    made = invocation(python(tell), "star")
    assert called(made, [(1, 2), [3], "ab", ()]) == [
        ((1, 2), {}), ((3,), {}), (("a", "b"), {}), ((), {}),
    ]  # fmt: skip


def test_each_brings_its_own_call():
    version = python(tell).python
    calls = [
        pickle.dumps((pow, (2, 10), {})),
        byvalue.dumps((lambda x, y=1: x + y, (1,), {"y": 5})),
        byvalue.dumps((tell, (), {"k": 1})),
    ]
    found = called(invocation(specs.EachCall(version)), calls)
    assert found == [1024, 6, ((), {"k": 1})]


def test_one_that_cannot_be_unpickled_fails_alone():
    made = invocation(specs.EachCall(python(tell).python))
    items = [pickle.dumps((abs, (-1,), {})), b"broken", pickle.dumps((abs, (-2,), {}))]
    call, values = made.calls(0, 3, Items(0, pickle.dumps(items)))
    first, second, third = values
    assert call(first) == 1
    with pytest.raises(CallError, match="the call cannot be unpickled on this node") as error:
        call(second)
    assert error.value.type_name == "UnpickleError"
    assert call(third) == 2


def test_bytecode_of_another_python_is_refused_and_names_are_not():
    made = invocation(specs.EachCall("2.7"))
    assert called(made, [pickle.dumps((abs, (-1,), {}))]) == [1]
    with pytest.raises(CallError, match=r"sent by value from Python 2\.7") as error:
        called(made, [byvalue.dumps((lambda x: x, (1,), {}))])
    assert error.value.type_name == "VersionError"


def test_items_that_are_not_in_the_block_are_an_error():
    made = invocation(python(tell), "one")
    for start, stop in ((4, 6), (6, 9)):
        with pytest.raises(CallError, match="the block does not hold"):
            made.calls(start, stop, Items(5, pickle.dumps([1, 2, 3])))
    with pytest.raises(CallError, match="no block came with it"):
        made.calls(0, 1, None)
