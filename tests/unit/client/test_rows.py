"""Results as rows: whatever a node sends is shown in a bounded time, or said not to be."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from farm.client import jsontext
from farm.client.jsontext import can_be_shown, to_json
from farm.client.outcome import Outcome
from farm.client.rows import loads, row
from farm.wire import standins

HIDDEN = "<a value that is read by the Python API alone>"


class Node:
    """Something that is no builtin."""

    def __init__(self, below: Any) -> None:
        self.below = below

    def __reduce__(self) -> Any:
        return Node, (self.below, self.below)


def doubled(make: Any, value: Any, times: int = 60) -> Any:
    """A value that is small, and holds itself 2 ** times times."""
    for _ in range(times):
        value = make(value)
    return value


def shown(value: Any) -> Any:
    """What a row says of it."""
    made = row(Outcome(0, "done", loads(pickle.dumps(value)), None, 1.0, "n", 1), {"x": 1})
    json.loads(to_json(made))
    return made["result"]


@pytest.mark.parametrize(
    "make",
    [lambda x: [x, x], lambda x: (x, x), lambda x: {"a": x, "b": x}, Node],
    ids=["list", "tuple", "dict", "object"],
)
def test_what_would_take_for_ever_to_write_is_not_written(make):
    assert shown(doubled(make, [1])) == HIDDEN


def test_what_is_nested_very_deeply_is_not_written():
    deep = loads(b"\x80\x04N" + b"\x85" * 100_000 + b".")
    made = row(Outcome(0, "done", deep, None, 1.0, "n", 1), {"x": deep})
    assert (made["result"], made["repr"]) == (HIDDEN, True)


def test_parameters_likewise():
    made = row(Outcome(0, "done", 1, None, 1.0, "n", 1), doubled(lambda x: {"a": x, "b": x}, 1))
    assert made["params"] == HIDDEN


@pytest.mark.parametrize("value", [1, "text", None, [1, [2]], {"a": [1.5, None]}, [], {}], ids=repr)
def test_everything_else_is_written_as_it_is(value):
    assert shown(value) == value


def test_what_is_counted(monkeypatch):
    monkeypatch.setattr(jsontext, "MAX_VALUES", 6)
    assert can_be_shown([1, 2, [3, {"k": 4}]]) is False
    assert can_be_shown([1, 2, [3, {4}]]) is True
    assert can_be_shown(doubled(lambda x: [x], 1, 6)) is True
    monkeypatch.setattr(jsontext, "MAX_DEPTH", 5)
    assert can_be_shown(doubled(lambda x: [x], 1, 6)) is False
    assert can_be_shown(standins.StandIn("m:f", (1, [2] * 9)), standins.inside) is False
