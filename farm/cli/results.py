"""``farm results``: what came of a batch's tasks, as a table, JSON lines or CSV."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.listing import Format, format_of, lines_of, recorded_rows, write_file
from farm.cli.options import AuthkeyFile, BatchRef, Host, OutputFile, Tls, switch
from farm.cli.output import Json, Output, Result
from farm.cli.settings import open_session
from farm.cli.statuses import SOME_FAILED
from farm.cli.tables import results_table
from farm.cli.text import count
from farm.cli.writing import check_target
from farm.client.batch import Batch
from farm.errors import UsageError

TABLE_ROWS = 1000
"""Rows of a table; whoever wants more wants a file."""

TOGETHER = 500
"""Lines that are written at a time."""

FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", "-f", help="A table unless --output or --json is given.", show_default=False
    ),
]
FailedOption = Annotated[bool, switch("--failed", help="Only tasks that failed.")]
WaitOption = Annotated[bool, switch("--wait", "-w", help="Wait for all of them.")]


def command(
    ctx: typer.Context,
    batch: BatchRef,
    format_: FormatOption = None,
    output_file: OutputFile = None,
    failed: FailedOption = False,
    wait: WaitOption = False,
    host: Host = None,
    authkey_file: AuthkeyFile = None,
    tls: Tls = None,
) -> None:
    """Print what came of a batch's tasks.

    They come in index order. Of a batch that is still running, those that are there by now are
    printed; --wait waits for all, and then the exit code is 1 if tasks failed or were cancelled.
    What JSON cannot hold is written as its repr.
    """
    logs.set_up(0)
    output = output_of(ctx)
    chosen = format_ or _default(output, output_file)
    if output_file is not None:
        _check(output_file, chosen)
    with open_session(host, authkey_file, tls) as session:
        found = session.batch(batch)
        if wait:
            found.wait()
        if output_file is not None:
            write_file(output_file, found, chosen, failed=failed)
            output.note(f"The results are in {output_file}.")
        elif chosen is Format.TABLE:
            _print_table(output, found, failed=failed)
        else:
            lines = lines_of(found, chosen, failed=failed, encoding=sys.stdout.encoding)
            while text := "".join(islice(lines, TOGETHER)):
                output.lines(text)
        status = found.status()
    if status.cancelled:
        output.note(
            f"{count(status.cancelled, 'task')} had no outcome when the batch was cancelled; "
            f"`farm retry {status.batch}` runs what is missing."
        )
    if wait and status.state != "done":
        raise typer.Exit(SOME_FAILED)


def _default(output: Output, path: Path | None) -> Format:
    if path is not None:
        return format_of(path)
    return Format.JSONL if isinstance(output, Json) else Format.TABLE


def _check(path: Path, chosen: Format) -> None:
    if chosen is Format.TABLE:
        raise UsageError("a table is for people to look at: give --format jsonl or csv for a file")
    check_target(path)


def _print_table(output: Output, batch: Batch, *, failed: bool) -> None:
    some = list(islice(recorded_rows(batch, failed=failed), TABLE_ROWS + 1))
    shown = some[:TABLE_ROWS]
    if not shown:
        output.note("There are none." if failed else "There are none yet.")
        return
    output.result(Result(shown, lambda: results_table(shown)))
    if len(some) > len(shown):
        output.note(f"These are the first {TABLE_ROWS:,}; see all with --format jsonl.")
