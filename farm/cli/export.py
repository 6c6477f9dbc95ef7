"""``farm export``: a batch and its outcomes as plain files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, BatchRef, Host, Tls
from farm.cli.output import Result
from farm.cli.settings import open_session
from farm.cli.text import count
from farm.client.transfer import Exported
from farm.printable import in_line, plain

Target = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="A new directory, or an empty one.", show_default=False),
]


def command(
    ctx: typer.Context,
    batch: BatchRef,
    directory: Target,
    host: Host = None,
    authkey_file: AuthkeyFile = None,
    tls: Tls = None,
) -> None:
    """Write a batch and what came of it to a directory.

    The directory has all that another server needs to show the results and to run what is
    missing: `farm import DIR`. Of a batch that is still running it has what is there by now.
    """
    logs.set_up(0)
    with open_session(host, authkey_file, tls) as session:
        exported = session.batch(batch).export(directory)
    status = exported.status
    document = {
        "batch": status.batch,
        "name": status.name,
        "directory": str(directory),
        "total": status.total,
        "outcomes": exported.tasks,
    }
    output_of(ctx).result(Result(document, lambda: _said(exported), str(directory)))


def _said(exported: Exported) -> str:
    status = exported.status
    return (
        f"Batch {status.batch} ({in_line(status.name)}) is in {plain(str(exported.directory))}, "
        f"with the outcomes of {exported.tasks:,} of {count(status.total, 'task')}."
    )
