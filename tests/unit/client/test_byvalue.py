"""What travels by value keeps the name of its file, so that a traceback tells where it was."""

from __future__ import annotations

import pickle
import traceback
from types import CodeType, FunctionType

import cloudpickle
import pytest

from farm.client import byvalue
from farm.client.blocks import Blocks
from farm.client.submission import call_of


def travelled(function: FunctionType) -> FunctionType:
    """The function as a slot has it."""
    found = pickle.loads(byvalue.dumps(function))
    assert isinstance(found, FunctionType)
    return found


def test_a_traceback_has_its_lines() -> None:
    def inner(x: int) -> int:
        return 1 // x  # the line in question

    function = travelled(lambda x: inner(x) + 1)
    with pytest.raises(ZeroDivisionError) as failure:
        function(0)
    text = "".join(traceback.format_exception(failure.value))
    assert text.count(f'File "{__file__}"') == 3
    assert "return 1 // x  # the line in question" in text
    assert "dynamic" not in text


def test_code_within_code_keeps_it_too() -> None:
    def outer() -> object:
        def inner() -> None: ...

        return inner

    code = travelled(outer).__code__
    inner = next(part for part in code.co_consts if isinstance(part, CodeType))
    assert (code.co_filename, inner.co_filename) == (__file__, __file__)


def test_everything_else_is_as_cloudpickle_has_it() -> None:
    values = [1, "<dynamic-code>", {"a": (1.5, None)}, complex, len]
    assert byvalue.dumps(values) == cloudpickle.dumps(values)
    function = travelled(lambda x, /, *y, z="<dynamic-code>": (x, y, z))
    assert function(1, 2) == (1, (2,), "<dynamic-code>")


def test_so_travel_functions_and_arguments() -> None:
    call = call_of(lambda: 0)
    arguments = iter([{"key": lambda: 1}])
    (block,) = Blocks(1 << 20, list, str).of(lambda _: list(arguments))
    (found,) = pickle.loads(block.payload)  # type: ignore[union-attr]
    assert pickle.loads(call.payload).__code__.co_filename == __file__  # type: ignore[union-attr]
    assert found["key"].__code__.co_filename == __file__
