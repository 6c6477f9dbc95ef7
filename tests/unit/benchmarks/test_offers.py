"""Peers that offer the same are measured in the same way."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from benchmarks.case import Map, Plan, WrongError
from benchmarks.cases import payloads
from benchmarks.peers.offers import MAPS, POOLS, sides


def test_each_is_opened_in_its_directory_measured_and_closed(tmp_path: Path) -> None:
    seen: list[object] = []

    @contextlib.contextmanager
    def opener(directory: Path, processes: int):
        seen.append((directory, processes))
        yield "offered"
        seen.append("closed")

    def measure(offered: str, plan: Plan):
        seen.append((offered, plan.scale))
        return {"x": 1.0}

    made = sides({"a": opener, "b": opener}, 3, measure)

    assert list(made) == ["a", "b"]
    assert made["b"](Plan(tmp_path, 0.5)) == {"x": 1.0}
    assert seen == [(tmp_path, 3), ("offered", 0.5), "closed"]


def test_who_offers_what_is_there_once() -> None:
    assert next(iter(POOLS)) == "farm"
    assert "farm" not in MAPS


def test_no_argument_is_like_another_and_every_byte_must_have_come_back(tmp_path: Path) -> None:
    plan = Plan(tmp_path, 0.01)
    given: list[bytes] = []

    def through(function, items):
        given.extend(items)
        return [function(item) for item in items]

    def broken(function, items):
        return [function(item)[:-1] + b"?" for item in items]

    assert payloads._measure(through, plan)["both ways"] > 0
    heads = {item[:1024] for item in given}
    assert len(heads) == len(set(given)) == 5
    wrong: Map = broken
    with pytest.raises(WrongError, match="turned round"):
        payloads._measure(wrong, plan)
