"""``farm submit``: a batch file becomes a batch of a server."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli import logs, progress
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, BatchFile, BatchName, Host, Overrides, switch
from farm.cli.output import Output, Result
from farm.cli.settings import open_session
from farm.cli.statuses import SOME_FAILED, closing
from farm.cli.text import count
from farm.client.batch import Batch
from farm.client.status import document_of
from farm.client.submission import load_file

Wait = Annotated[bool, switch("--wait", "-w", help="Show progress, and wait for the end.")]


def command(
    ctx: typer.Context,
    file: BatchFile,
    host: Host = None,
    authkey_file: AuthkeyFile = None,
    name: BatchName = None,
    overrides: Overrides = None,
    wait: Wait = False,
) -> None:
    """Submit a batch to a server, and print its id.

    The batch is safe when this returns; nodes may come later. With --wait the exit code is 1 if
    tasks failed.
    """
    logs.set_up(0)
    output = output_of(ctx)
    loaded = load_file(file, overrides or [], name)
    with open_session(host, authkey_file) as session:
        batch = session.submit(loaded)
        if wait:
            _wait(output, batch)
            return
    document = {"batch": batch.id, "name": loaded.name, "total": loaded.total}
    output.result(Result(document, lambda: str(batch.id), str(batch.id)))
    output.note(f"Batch {batch.id} ({loaded.name}): {count(loaded.total, 'task')}.")


def _wait(output: Output, batch: Batch) -> None:
    try:
        status = progress.follow(batch, output)
    except KeyboardInterrupt:
        output.warn(f"batch {batch.id} goes on; `farm cancel {batch.id}` stops it")
        raise
    output.result(Result(document_of(status), lambda: str(batch.id), str(batch.id)))
    output.note(closing(status))
    if status.state != "done":
        raise typer.Exit(SOME_FAILED)
