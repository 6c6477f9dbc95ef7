"""YAML with places: the values of `safe_load`, where each was written, and what is refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.document import Document, read_document
from farm.errors import BatchFileError

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("ab é:#'\"\n-{}[]*&!%@`", max_size=8)
    | st.dates()
)
keys = st.text("abé: #", max_size=4) | st.integers()
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=15,
)


@given(documents, st.booleans())
def test_values_are_those_of_safe_load(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow, sort_keys=False)
    document = read_document(text, "f")
    assert document.problems == []
    assert document.value == yaml.safe_load(text)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(one for key, item in inner for one in paths(item, (*path, key)))]


def text_at(text: str, mark: str) -> str:
    _, line, column = mark.split(":")
    return text.split("\n")[int(line) - 1][int(column) - 1 :]


@given(
    st.recursive(
        st.integers(0, 99),
        lambda i: (
            st.lists(i, min_size=1, max_size=3)
            | st.dictionaries(st.text("xyzé", min_size=1, max_size=3), i, min_size=1, max_size=3)
        ),
        max_leaves=12,
    ),
    st.booleans(),
)
def test_positions_point_at_what_was_written(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow, sort_keys=False)
    document = read_document(text, "f")
    for path in paths(document.value):
        item = document.value
        for part in path:
            item = item[part]
        if isinstance(item, int):
            assert text_at(text, document.mark(path).text).startswith(str(item))
        if path and isinstance(path[-1], str):
            at_key = text_at(text, document.mark(path, key=True).text)
            assert at_key.lstrip("'?\" ").startswith(path[-1])


def test_positions_of_keys_values_and_what_is_missing() -> None:
    document = read_document("a: 1\nb:\n  - x\n  - {c: 5}\n", "f.yaml")
    assert document.mark(("b", 1, "c")).text == "f.yaml:4:9"
    assert document.mark(("b", 1, "c"), key=True).text == "f.yaml:4:6"
    assert document.mark(("b", 1, "nothing"), key=True).text == "f.yaml:4:5"
    assert document.mark(("b", 7)).text == "f.yaml:3:3"
    assert document.mark(()).text == "f.yaml:1:1"


def test_merge_keys_and_aliases() -> None:
    text = """\
base: &base {x: 1, y: 2}
more: &more {y: 3, z: 4}
one: {<<: *base, y: 5}
two: {<<: [*base, *more]}
same: [*base, *base]
"""
    document = read_document(text, "f")
    assert document.problems == []
    assert document.value == yaml.safe_load(text)
    assert document.mark(("one", "x")).text == "f:1:17"
    assert document.mark(("one", "y")).text == "f:3:21"
    document.value["same"][0]["x"] = 9
    assert document.value["same"][1] == {"x": 1, "y": 2}, "aliases share no value"


def problems(document: Document) -> list[str]:
    return [f"{mark.text}: {message}" for mark, message, _ in document.problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3:1: `a` is given twice, first at f:1:1"),
        ("x: {k: 1, 'k': 2}", "f:1:11: `k` is given twice, first at f:1:5"),
        ("? [1]\n: 2", "f:1:3: a key must be a text, not a list"),
        ("? {a: 1}\n: 2", "f:1:3: a key must be a text, not a mapping"),
        ("<<: 1", "f:1:5: `<<` takes a mapping, or a list of mappings"),
        (
            "a: &a {x: 1}\nb: {<<: *a, <<: *a}",
            "f:2:13: `<<` is given twice; write one with a list of mappings",
        ),
        (
            "a: !!python/name:os.system ''",
            "f:1:4: the tag !!python/name:os.system cannot be used here",
        ),
        ("a: !mine {b: 1}", "f:1:4: the tag !mine cannot be used here"),
        ("a: !!set {b}", "f:1:4: the tag !!set cannot be used here"),
        ("a: 2024-02-30", "f:1:4: 2024-02-30 cannot be read: day is out of range for month"),
        ("a: !!int x", "f:1:4: x cannot be read: invalid literal for int() with base 10: 'x'"),
        (
            "a: 1e3",
            "f:1:4: YAML 1.1 takes 1e3 for a text; "
            'write 1.0e+3 for the number or "1e3" for the text',
        ),
        (
            "a: [-5E-07]",
            "f:1:5: YAML 1.1 takes -5E-07 for a text; "
            'write -5.0e-07 for the number or "-5E-07" for the text',
        ),
    ],
)
def test_what_is_noted(text: str, problem: str) -> None:
    assert problems(read_document(text, "f")) == [problem]


def test_texts_in_quotes_and_proper_floats_are_left_alone() -> None:
    document = read_document("a: ['1e3', 1.0e+3, 1e3x, 2024-01-01]", "f")
    assert document.problems == []
    assert document.value == {"a": ["1e3", 1000.0, "1e3x", date(2024, 1, 1)]}


def bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for one, two in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{two}: &{two} [{', '.join([f'*{one}'] * 10)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "f:1:1: the file is empty; it should describe a batch"),
        ("# only this\n", "f:1:1: the file is empty; it should describe a batch"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here; write one batch a file"),
        ("a: \x07", "f:1:4: the character '\\x07' cannot stand in YAML"),
        ("a: 1\nb: \ud800", "f:2:4: the character '\\ud800' cannot stand in YAML"),
        ("a: &a [1, *a]", "f:1:4: an alias refers to a value that it is itself a part of"),
        ("a: &a {<<: *a}", "f:1:4: an alias refers to a value that it is itself a part of"),
        ("[" * 101, "f:1:101: values are nested more than 100 deep"),
        ("[" * 900, "f:1:101: values are nested more than 100 deep"),
        ("- " * 200, "f:1:201: values are nested more than 100 deep"),
        ("a: *b", "f:1:4: this is not YAML: found undefined alias"),
        ("a: b: c", "f:1:5: this is not YAML: mapping values are not allowed in this context"),
    ],
)
def test_what_stops_the_reading(text: str, problem: str) -> None:
    with pytest.raises(BatchFileError) as caught:
        read_document(text, "f")
    assert str(caught.value) == problem


def test_values_nested_without_end_are_refused_at_once() -> None:
    """Where, is for PyYAML to say: some versions stop before they have read so far."""
    with pytest.raises(BatchFileError, match=r"f:1:\d+: values are nested more than 100 deep\Z"):
        read_document("[" * 200_000, "f")


def test_syntax_errors_say_where_and_what_they_belong_to() -> None:
    with pytest.raises(BatchFileError) as caught:
        read_document("a: 1\nb: [1,\n 2\nc: 3", "f")
    (problem,) = caught.value.problems
    assert problem.where.startswith("f:4:")
    assert problem.message.startswith("this is not YAML: ")
    assert problem.message.endswith("while parsing a flow sequence that begins at line 2")


def test_aliases_that_multiply_are_refused() -> None:
    with pytest.raises(BatchFileError, match="aliases multiply the file beyond reason"):
        read_document(bomb(), "f")
    merges = "a: &a {" + ", ".join(f"k{i}: {i}" for i in range(2000)) + "}\n"
    merges += "b: [" + ", ".join(["{<<: *a}"] * 2000) + "]"
    with pytest.raises(BatchFileError, match="aliases multiply the file beyond reason"):
        read_document(merges, "f")
    again = "a: &a {" + ", ".join(f"k{i}: {i}" for i in range(2000)) + "}\n"
    again += "b: {<<: [" + ", ".join(["*a"] * 2000) + "]}"
    with pytest.raises(BatchFileError, match="aliases multiply the file beyond reason"):
        read_document(again, "f")
