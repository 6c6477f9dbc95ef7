"""Tables as people read them: of outcomes, batches and nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from farm.cli.text import duration, one_line
from farm.client.jsontext import to_json
from farm.client.rows import Row

MAX_CELL = 200
"""Characters of a cell, however wide the terminal is."""

_ENDLESS = 100_000  # columns of a terminal, wider than any table


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


class Fitted:
    """A table that leaves columns out where the terminal is too narrow for all of them.

    Args:
        columns: see `table`.
        rows: a cell for each of them.
        spare: columns that can be done without, the first one first.
    """

    def __init__(
        self, columns: Sequence[str], rows: Iterable[Sequence[Any]], spare: Sequence[str]
    ) -> None:
        self._columns = columns
        self._rows = list(rows)
        self._spare = spare

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number in range(len(self._spare) + 1):
            made = self._without(self._spare[:number])
            wanted = Measurement.get(console, options.update(max_width=_ENDLESS), made).maximum
            if wanted <= options.max_width:
                break
        yield made  # if there is still too much, texts are cut

    def _without(self, gone: Sequence[str]) -> Table:
        kept = [at for at, name in enumerate(self._columns) if name.lstrip(">") not in gone]
        rows = ([row[at] for at in kept] for row in self._rows)
        return table([self._columns[at] for at in kept], rows)


def _cell(value: Any) -> Text | _Cut:
    # In a narrow terminal a row stays one line: text is cut short, numbers are not.
    if isinstance(value, int):
        return Text(f"{value:,}", no_wrap=True, overflow="ellipsis")
    return _Cut(one_line(cut(str(value), MAX_CELL)))


class _Cut:
    """Text that is cut to its column's width once that is known."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, Text(self._text))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(cut(self._text, options.max_width), no_wrap=True, overflow="ellipsis")


def cut(text: str, width: int) -> str:
    """Text without its middle if it is too long: paths and the like differ at their ends.

    Args:
        text: any.
        width: columns of a terminal that it may take.

    Example:
        >>> cut("path='/usr/lib/python3/abc.py'", 16)
        "path='/u…abc.py'"
    """
    # Nothing but the ends of a very long text is looked at.
    if len(text) <= 2 * width and cell_len(text) <= width:
        return text
    head = width // 2
    tail = max(width - head - 1, 0)
    end = text[-2 * width :][::-1]
    return f"{set_cell_size(text[: 2 * width], head)}…{set_cell_size(end, tail)[::-1]}"


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
        return str(params)
    return ", ".join(f"{key}={value!r}" for key, value in params.items())


def result_text(row: Row) -> str:
    """The result, or why there is none."""
    error = row.get("error")
    if error is None:
        result = row["result"]
        return result if isinstance(result, str) else to_json(result)
    kind = f"{error['type']}: " if error["type"] else ""
    return f"{kind}{error['message']}"
