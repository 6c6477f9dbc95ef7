"""``--set``: what it replaces, what it makes, and how it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from farm.batch.document import read_document
from farm.batch.overrides import apply_overrides

TEXT = "options: {retries: 1}\nparams: {list: [{a: 1}, {a: 2}]}\nempty:\n"


def overridden(*texts: str) -> Any:
    document = read_document(TEXT, "f.yaml")
    apply_overrides(document, texts)
    assert document.problems == []
    return document.value


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("options.retries=5", ("options", "retries"), 5),
        ("options.timeout=1.5", ("options", "timeout"), 1.5),
        ("options.timeout=30s", ("options", "timeout"), "30s"),
        ("options.retries=", ("options", "retries"), None),
        ("params.list.1.a=[x, {y: 2}]", ("params", "list", 1, "a"), ["x", {"y": 2}]),
        ("empty.b.c=true", ("empty", "b", "c"), True),
        ("new.b=a=b", ("new", "b"), "a=b"),
        ("name='7'", ("name",), "7"),
    ],
)
def test_values_are_yaml_and_paths_lead_anywhere(text: str, path: Any, value: Any) -> None:
    result = overridden(text)
    for part in path:
        result = result[part]
    assert result == value


def test_the_last_one_wins() -> None:
    assert overridden("options.retries=5", "options.retries=6")["options"]["retries"] == 6


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("options.retries", "write it as path=value, such as options.retries=5"),
        ("=5", "write it as path=value, such as options.retries=5"),
        ("options..x=5", "write it as path=value, such as options.retries=5"),
        ("options.retries.x=5", "`options.retries` is 1, which has no `x` in it"),
        ("params.list.2.a=5", "`params.list` is a list of 2, so `2` must be an index below that"),
        ("params.list.a=5", "`params.list` is a list of 2, so `a` must be an index below that"),
        ("a={x: 1, x: 2}", "`x` is given twice, first at the value:1:2"),
    ],
)
def test_what_cannot_be_set(text: str, problem: str) -> None:
    document = read_document(TEXT, "f.yaml")
    apply_overrides(document, [text])
    assert [(m.text, p) for m, p, _ in document.problems] == [(f"--set {text}", problem)]


def test_positions_name_the_override_that_put_a_value_there() -> None:
    document = read_document(TEXT, "f.yaml")
    apply_overrides(document, ["options.retries=x", "new.b.c=1"], name="n")
    assert document.mark(("options", "retries")).text == "--set options.retries=x"
    assert document.mark(("options",)).text == "f.yaml:1:10"
    assert document.mark(("new",)).text == "--set new.b.c=1"
    assert document.mark(("new", "b", "c", 0)).text == "--set new.b.c=1"
    assert document.mark(("name",)).text == "--name n"
