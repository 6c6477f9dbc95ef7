"""Tables as people read them: of outcomes, batches and nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from farm.batch.suggest import clipped
from farm.cli.rows import Row
from farm.cli.text import duration, one_line, to_json

MAX_CELL = 200
"""Characters of a cell, however wide the terminal is."""


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table with numbers to the right; a column's name begins with ``>`` if it holds some."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        if column.startswith(">"):
            made.add_column(column[1:], justify="right", no_wrap=True)
        else:
            made.add_column(column)
    for row in rows:
        made.add_row(*map(_cell, row))
    return made


def _cell(value: Any) -> Text:
    # In a narrow terminal a row stays one line: text is cut short, numbers are not.
    text = f"{value:,}" if isinstance(value, int) else one_line(str(value))
    return Text(text, no_wrap=True, overflow="ellipsis")


def results_table(rows: Sequence[Row]) -> Table:
    """A line a task; a column that says the same of all of them is left out."""
    failed = any("error" in row for row in rows)
    nodes = len({row["node"] for row in rows}) > 1
    columns = [">index", "params", *(["status"] if failed else []), "result"]
    columns += [">seconds", *(["node"] if nodes else [])]
    return table(columns, (_cells(row, failed=failed, nodes=nodes) for row in rows))


def _cells(row: Row, *, failed: bool, nodes: bool) -> list[Any]:
    cells = [row["index"], params_text(row["params"])]
    if failed:
        cells.append(row["status"])
    cells += [result_text(row), duration(row["seconds"])]
    if nodes:
        cells.append(row["node"])
    return cells


def params_text(params: Any) -> str:
    """Parameters as they would be written in a call."""
    if not isinstance(params, dict):
        return clipped(str(params), MAX_CELL)
    return clipped(", ".join(f"{key}={value!r}" for key, value in params.items()), MAX_CELL)


def result_text(row: Row) -> str:
    """The result, or why there is none."""
    error = row.get("error")
    if error is None:
        result = row["result"]
        text = result if isinstance(result, str) else to_json(result)
        return clipped(text, MAX_CELL)
    kind = f"{error['type']}: " if error["type"] else ""
    return clipped(f"{kind}{error['message']}", MAX_CELL)
