"""The JSON schema: the same fields and bounds as the checks, and a description for each."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from farm.batch.model import WANTED, BatchFields, ParamsFields, schema
from farm.batch.options import OptionsFields, RetriesFields


def part(name: str) -> dict[str, Any]:
    found: dict[str, Any] = schema()["$defs"][name]
    return found


def option(name: str) -> dict[str, Any]:
    found: dict[str, Any] = part("OptionsFields")["properties"][name]
    return found


def test_every_field_is_described_and_nothing_else_is_allowed() -> None:
    whole = schema()
    json.dumps(whole)
    parts = [
        (whole, BatchFields),
        (part("ParamsFields"), ParamsFields),
        (part("OptionsFields"), OptionsFields),
        (option("retries")["anyOf"][1], RetriesFields),
    ]
    for one, model in parts:
        assert one["additionalProperties"] is False
        assert list(one["properties"]) == list(model.model_fields)
        assert all(field.get("description") for field in one["properties"].values())
        assert set(model.model_fields) <= WANTED.keys()


def test_one_call_is_required() -> None:
    assert schema()["oneOf"] == [{"required": ["python"]}, {"required": ["command"]}]


def test_bounds_and_defaults_are_stated() -> None:
    options = part("OptionsFields")["properties"]
    number, mapping = options["retries"]["anyOf"]
    assert (number["minimum"], number["maximum"]) == (0, 1000)
    assert (options["retries"]["default"], mapping["required"]) == (0, ["max"])
    assert (options["priority"]["minimum"], options["priority"]["default"]) == (-1000, 0)
    assert "default" not in options["timeout"]
    assert (options["crash_limit"]["maximum"], options["rerun"]["default"]) == (100, True)
    assert options["max_parallel"]["anyOf"][0]["minimum"] == 1
    params = part("ParamsFields")["properties"]
    assert params["count"]["minimum"] == 1
    kinds = params["matrix"]["additionalProperties"]["anyOf"]
    computed = [list(kind["properties"]) for kind in kinds if kind.get("type") == "object"]
    assert computed == [["range"], ["linspace"], ["logspace"], ["lines"], ["glob"]]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("max_failures", ["5%", "0.5%", ".5%"], ["5", "-5%", "5 %"]),
        ("rate", ["5/s", "1.5/m", "100/h"], ["5", "5/d", "/s", "1e3/s"]),
        ("memory", ["512MB", "1.5GiB", "2TB"], ["512", "512mb", "512 MB", "5kiB"]),
    ],
)
def test_texts_with_units_have_patterns(name: str, right: list[str], wrong: list[str]) -> None:
    pattern = next(form["pattern"] for form in option(name)["anyOf"] if "pattern" in form)
    assert all(re.search(pattern, text) for text in right)
    assert not any(re.search(pattern, text) for text in wrong)
