"""The contents of the files that give parameters: lines, CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from typing import Any

from farm.batch.suggest import clipped

_INT = re.compile(r"0|-?[1-9][0-9]{0,4000}")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


class TableError(ValueError):
    """A file that cannot be read as what it should be.

    Args:
        line: where, from 1.
        message: what is wrong.
        column: where in the line, from 1, if that is known.
    """

    def __init__(self, line: int, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.line, self.message, self.column = line, message, column


def read_lines(text: str) -> list[str]:
    """The lines without their ends (``\\n`` or ``\\r\\n``); empty ones too, but for a last one."""
    lines = _plain(text).split("\n")
    return lines[:-1] if not lines[-1] else lines


def read_csv(text: str) -> dict[str, list[Any]]:
    """The columns of a table whose first row is its header; blank lines are skipped.

    A column holds ints if every cell is one (``7``, not ``007``), else floats if every cell is a
    finite number without leading zeros, else texts.

    Raises:
        TableError: no header, a header twice, a row of another length, or bad quoting.
    """
    reader = csv.reader(io.StringIO(_plain(text), newline=""), strict=True)
    rows: list[list[str]] = []
    header: list[str] = []
    try:
        for row in reader:
            if not header:
                header = _header(row, reader.line_num)
            elif row and len(row) != len(header):
                message = f"the header has {len(header)} cells, but this row has {len(row)}"
                raise TableError(reader.line_num, message)
            elif row:
                rows.append(row)
    except csv.Error as error:
        raise TableError(reader.line_num, f"this is not CSV: {error}") from None
    if not header:
        raise TableError(1, "the file has no header; its first line should name the columns")
    return {name: _typed([row[at] for row in rows]) for at, name in enumerate(header)}


def read_jsonl(text: str) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a file with one a line, each with its line number; blank lines are skipped.

    Raises:
        TableError: a line holds no JSON object, or one that names a key twice.
    """
    objects = []
    for number, line in enumerate(read_lines(text), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_without_duplicates)
        except json.JSONDecodeError as error:
            raise TableError(number, f"this is not JSON: {error.msg}", error.colno) from None
        except (RecursionError, ValueError) as error:
            raise TableError(number, f"this object cannot be used: {error}") from None
        if not isinstance(value, dict):
            raise TableError(number, f"each line must be a JSON object, not {clipped(line)}")
        objects.append((number, value))
    return objects


def _plain(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _header(row: list[str], line: int) -> list[str]:
    for name in row:
        if row.count(name) > 1:
            raise TableError(line, f"the header names `{clipped(name)}` twice")
    return row


def _typed(cells: list[str]) -> list[Any]:
    if all(map(_INT.fullmatch, cells)):
        return [int(cell) for cell in cells]
    if all(map(_FLOAT.fullmatch, cells)) and all(math.isfinite(float(cell)) for cell in cells):
        return [float(cell) for cell in cells]
    return cells


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names `{clipped(twice)}` twice")
    return mapping
