"""``farm validate``: everything that is wrong with a batch file, or what it would run."""

from __future__ import annotations

import typer

from farm.batch.loader import Batch
from farm.cli.command import output_of
from farm.cli.options import BatchFile, Overrides
from farm.cli.output import Result
from farm.cli.text import count
from farm.client.submission import load_file
from farm.printable import in_line, plain

SHOWN = 3
"""Calls at the beginning, and as many at the end."""


def command(ctx: typer.Context, file: BatchFile, overrides: Overrides = None) -> None:
    """Check a batch file and show what would run: how many tasks, the first and the last calls."""
    batch = load_file(file, overrides or [])
    calls = [{"index": i, "call": batch.describe(i)} for i in _indices(batch.total)]
    document = {"name": batch.name, "total": batch.total, "calls": calls}
    text = "\n".join(_lines(batch, calls))
    output_of(ctx).result(Result(document, lambda: text))


def _indices(total: int) -> list[int]:
    """The first and the last ones, each once."""
    return [*range(min(SHOWN, total)), *range(max(SHOWN, total - SHOWN), total)]


def _lines(batch: Batch, calls: list[dict[str, object]]) -> list[str]:
    width = len(f"{batch.total:,}")
    lines = [f"{in_line(batch.name)}: {count(batch.total, 'task')}"]
    lines += [f"  {call['index']:>{width},}  {plain(str(call['call']))}" for call in calls]
    if batch.total > len(calls):
        lines.insert(1 + SHOWN, f"  {'...':>{width}}")
    return lines
