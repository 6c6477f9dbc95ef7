"""``farm run``: a server and a node for one batch on this machine, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import typer
from rich.console import Group, RenderableType

from farm import config
from farm.batch.suggest import clipped
from farm.cli import logs, progress
from farm.cli.command import output_of
from farm.cli.listing import format_of, recorded_rows, write_file
from farm.cli.options import BatchFile, BatchName, OutputFile, Overrides, Processes
from farm.cli.output import Output, Result
from farm.cli.settings import CommandSettings
from farm.cli.statuses import SOME_FAILED, elapsed, rate_of
from farm.cli.tables import MAX_CELL, result_text, results_table
from farm.cli.text import count, duration, one_line
from farm.cli.writing import check_target
from farm.client.batch import Batch
from farm.client.rows import Row
from farm.client.status import document_of
from farm.client.submission import load_file
from farm.errors import FarmError
from farm.local import local
from farm.printable import in_line, plain
from farm.wire.messages import Status

FIRST_RESULTS = 10
FIRST_FAILURES = 5
TRACEBACK_LINES = 4
"""Lines of a traceback's end that the summary shows."""


def command(
    ctx: typer.Context,
    file: BatchFile,
    processes: Processes = None,
    output_file: OutputFile = None,
    name: BatchName = None,
    overrides: Overrides = None,
) -> None:
    """Run a batch on this machine alone; nothing is left running.

    Shows progress, then the first results and failures; --output writes all of them to a file.
    Ctrl-C stops it. The exit code is 1 if tasks failed.
    """
    logs.set_up(0)
    output = output_of(ctx)
    settings = CommandSettings((config.PROCESSES,), {"processes": processes})
    loaded = load_file(file, overrides or [], name)
    if output_file is not None:
        check_target(output_file)
        format_of(output_file)
    with local(settings.values[config.PROCESSES]) as session:
        batch = session.submit(loaded)
        status = _follow(batch, output)
        if output_file is not None:
            write_file(output_file, batch, format_of(output_file))
        summary = _Summary.of(batch, status, str(output_file) if output_file else None)
    output.result(Result(summary.document(), summary.view))
    if status.state != "done":
        raise typer.Exit(SOME_FAILED)


def _follow(batch: Batch, output: Output) -> Status:
    try:
        return progress.follow(batch, output)
    except KeyboardInterrupt:
        try:
            status = batch.status()
        except FarmError as error:
            output.warn(f"stopped; how far it got is not known: {error}")
        else:
            ended = status.done + status.failed
            output.warn(f"stopped: {ended:,} of {count(status.total, 'task')} had ended")
        raise


@dataclass(frozen=True)
class _Summary:
    """What came of a run.

    Args:
        status: the batch's last one.
        first: the first results.
        failures: the first failures.
        file: where all of them were written; None if nowhere.
    """

    status: Status
    first: list[Row]
    failures: list[Row]
    file: str | None

    @classmethod
    def of(cls, batch: Batch, status: Status, file: str | None) -> _Summary:
        failures = recorded_rows(batch, failed=True)
        return cls(
            status,
            list(islice(recorded_rows(batch), FIRST_RESULTS)),
            list(islice(failures, FIRST_FAILURES)) if status.failed else [],
            file,
        )

    def document(self) -> dict[str, Any]:
        """The status, ``elapsed`` (seconds), and the first failures as in JSON lines."""
        return {
            **document_of(self.status),
            "elapsed": elapsed(self.status),
            "output": self.file,
            "failures": self.failures,
        }

    def view(self) -> RenderableType:
        parts: list[RenderableType] = [results_table(self.first)]
        if self.status.total > len(self.first):
            more = self.status.total - len(self.first)
            parts.append(f"... and {more:,} more" + ("" if self.file else " (--output keeps all)"))
        if self.failures:
            parts += ["", f"The first of {count(self.status.failed, 'failure')}:"]
            parts += [_failure(row) for row in self.failures]
        parts += ["", self._counts()]
        if self.file:
            parts.append(f"All results are in {plain(self.file)}")
        return Group(*parts)

    def _counts(self) -> str:
        status = self.status
        words = [f"{in_line(status.name)}: {status.done:,} of {count(status.total, 'task')} done"]
        if status.failed:
            words.append(f"{status.failed:,} failed")
        if status.retried:
            words.append(f"{status.retried:,} tried again")
        why = f"; {status.state}: {in_line(status.reason)}" if status.reason else ""
        return ", ".join(words) + f", in {duration(elapsed(status))} ({rate_of(status)}){why}"


def _failure(row: Row) -> str:
    lines = row["error"]["traceback"].strip().splitlines()[-TRACEBACK_LINES - 1 : -1]
    where = "".join(f"\n    {plain(line)}" for line in lines)
    return f"  task {row['index']:,}: {one_line(clipped(result_text(row), MAX_CELL))}{where}"
