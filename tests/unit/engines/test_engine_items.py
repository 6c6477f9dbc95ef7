"""What an item of a block is: both kinds of arguments, one of them, several, or a whole call."""

from __future__ import annotations

import pickle
import sys
from typing import Any, Literal

import pytest

from farm.batch import spec as specs
from farm.client import byvalue
from farm.engines.failure import CallError
from farm.engines.invoke import Invocation, Items
from farm.engines.messages import UseProgram
from farm.engines.resolve import CoroutineRunner


def tell(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def invocation(call: specs.Call, items: Literal["both", "one", "star"] = "both") -> Invocation:
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
