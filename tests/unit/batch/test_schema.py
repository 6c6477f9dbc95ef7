"""The JSON schema: the same fields and bounds as the checks, and a description for each."""

from __future__ import annotations

import json
from typing import Any

from farm.batch.model import WANTED, BatchFields, OptionsFields, ParamsFields, schema


def part(name: str) -> dict[str, Any]:
    found: dict[str, Any] = schema()["$defs"][name]
    return found


def test_every_field_is_described_and_nothing_else_is_allowed() -> None:
    whole = schema()
    json.dumps(whole)
    parts = [
        (whole, BatchFields),
        (part("ParamsFields"), ParamsFields),
        (part("OptionsFields"), OptionsFields),
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
    assert (options["retries"]["minimum"], options["retries"]["maximum"]) == (0, 1000)
    assert (options["priority"]["minimum"], options["priority"]["default"]) == (-1000, 0)
    assert "default" not in options["timeout"]
    params = part("ParamsFields")["properties"]
    assert params["count"]["minimum"] == 1
    kinds = params["matrix"]["additionalProperties"]["anyOf"]
    computed = [list(kind["properties"]) for kind in kinds if kind.get("type") == "object"]
    assert computed == [["range"], ["linspace"], ["logspace"], ["lines"], ["glob"]]
