"""Lines, CSV and JSON lines: what they give and where they are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from farm.batch.tables import TableError, read_csv, read_jsonl, read_lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\n", ["a"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\n\n b \n\n", ["a", "", " b ", ""]),
        ("\ufeffa\n", ["a"]),
        ("a\x0bb\u2028c\n", ["a\x0bb\u2028c"]),
    ],
)
def test_lines(text: str, lines: list[str]) -> None:
    assert read_lines(text) == lines


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-20", "0"], [1, -20, 0]),
        (["1", "007"], ["1", "007"]),
        (["1", "+2"], [1.0, 2.0]),
        (["1", "-0"], [1.0, -0.0]),
        (["1", "2.50", ".5", "1.", "1e3"], [1.0, 2.5, 0.5, 1.0, 1000.0]),
        (["1", "00.5"], ["1", "00.5"]),
        (["1", "nan"], ["1", "nan"]),
        (["1", "inf"], ["1", "inf"]),
        (["1", "1e999"], ["1", "1e999"]),
        (["1", ""], ["1", ""]),
        (["1", " 2"], ["1", " 2"]),
        (["1", "1_000"], ["1", "1_000"]),
        (["1", "٣"], ["1", "٣"]),
        (["99999999999999999999"], [99999999999999999999]),
        (["1" * 5000, "x"], ["1" * 5000, "x"]),
    ],
)
def test_types_of_csv_columns(cells: list[str], values: list[Any]) -> None:
    column = read_csv("n,x\n" + "".join(f'"{cell}",\n' for cell in cells))["n"]
    assert column == values
    assert [type(value) for value in column] == [type(value) for value in values]


def test_csv_quoting_blank_lines_and_byte_order_marks() -> None:
    table = read_csv('\ufeffa,b\r\n\r\n"x, ""y""\nz",1\r\n')
    assert table == {"a": ['x, "y"\nz'], "b": [1]}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the file has no header"),
        ("a,b\n1,2\n3\n", 3, "the header has 2 cells, but this row has 1"),
        ('a,b\n"x\ny",2\n1,2,3\n', 4, "the header has 2 cells, but this row has 3"),
        ("a,b,a\n", 1, "the header names `a` twice"),
        ('a\n"x', 2, "this is not CSV: unexpected end of data"),
        ('a\n"x"y\n', 2, "this is not CSV"),
    ],
)
def test_csv_that_cannot_be_read(text: str, line: int, message: str) -> None:
    with pytest.raises(TableError) as caught:
        read_csv(text)
    assert caught.value.line == line
    assert message in caught.value.message


def test_jsonl_objects_with_their_lines() -> None:
    assert read_jsonl('{"a": 1}\n\n{"b": [1.5, null]}\n') == [
        (1, {"a": 1}),
        (3, {"b": [1.5, None]}),
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ('{"a": 1}\n{"a": }\n', 2, 7, "this is not JSON: Expecting value"),
        ("[1]\n", 1, None, "each line must be a JSON object, not [1]"),
        ('\n{"a": 1, "a": 2}', 2, None, "it names `a` twice"),
        ("[" * 200_000, 1, None, "this object cannot be used"),
        ('{"a": ' + "1" * 5000 + "}", 1, None, "this object cannot be used"),
    ],
)
def test_jsonl_that_cannot_be_read(text: str, line: int, column: int | None, message: str) -> None:
    with pytest.raises(TableError) as caught:
        read_jsonl(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in caught.value.message
