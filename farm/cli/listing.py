"""The results of a batch as text: line by line for a pipe, or as a file."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from farm.cli.writing import csv_lines, written
from farm.client.batch import Batch
from farm.client.jsontext import json_lines
from farm.client.rows import Row, loads, params_of, rows
from farm.errors import UsageError

HEAD_TASKS = 100_000
"""Tasks that are looked through for names of parameters, to make a CSV file's header."""


class Format(enum.StrEnum):
    """How results are written."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"


_ENDINGS = {
    ".csv": Format.CSV,
    **dict.fromkeys((".jsonl", ".ndjson", ".json", ""), Format.JSONL),
}


def format_of(path: Path) -> Format:
    """What a file's name says that it holds.

    Raises:
        UsageError: it says something that farm does not write.
    """
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise UsageError(f"cannot write {path}: farm writes .jsonl and .csv, not {ending}")
    return _ENDINGS[ending]


def recorded_rows(batch: Batch, *, failed: bool = False) -> Iterator[Row]:
    """A row for each task that has an outcome by now, in index order."""
    return rows(batch.recorded(failed=failed, loads=loads), params_of(batch))


def lines_of(
    batch: Batch, kind: Format, *, failed: bool = False, encoding: str = "utf-8"
) -> Iterator[str]:
    """The same as lines of CSV or of JSON."""
    some = recorded_rows(batch, failed=failed)
    if kind is Format.CSV:
        return csv_lines(some, param_names(batch))
    return json_lines(some, encoding)


def write_file(path: Path, batch: Batch, kind: Format, *, failed: bool = False) -> None:
    """Write them to a file that is there whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    with written(path) as file:
        file.writelines(lines_of(batch, kind, failed=failed))


def param_names(batch: Batch) -> list[str]:
    """The names of a batch's parameters, in the order in which they first come."""
    space = batch.space()
    if space is not None:
        some = space.points(0, min(len(space), HEAD_TASKS))
        return list(dict.fromkeys([*space.names, *(name for point in some for name in point)]))
    find = params_of(batch)
    points = (find(outcome.index) for outcome in islice(batch.recorded(loads=loads), HEAD_TASKS))
    known = (point if isinstance(point, dict) else {"params": None} for point in points)
    return list(dict.fromkeys(str(name) for point in known for name in point))
