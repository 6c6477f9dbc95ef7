"""``farm import``: a batch that was exported becomes a batch of this server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, Host, Tls
from farm.cli.output import Result
from farm.cli.settings import open_session
from farm.cli.text import count
from farm.client.status import document_of
from farm.client.transfer import Imported, import_

Source = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="What `farm export` has written.", show_default=False),
]


def command(
    ctx: typer.Context,
    directory: Source,
    host: Host = None,
    authkey_file: AuthkeyFile = None,
    tls: Tls = None,
) -> None:
    """Make a batch of a directory that `farm export` has written, and print its id.

    A batch that had not ended is paused: `farm resume` runs the rest. A directory that was
    imported already gives the batch that it became.
    """
    logs.set_up(0)
    output = output_of(ctx)
    with open_session(host, authkey_file, tls) as session:
        imported = import_(session.link, directory)
    status = imported.status
    document = {**document_of(status), "outcomes": imported.tasks, "known": imported.known}
    output.result(Result(document, lambda: str(status.batch), str(status.batch)))
    output.note(_said(imported, directory))


def _said(imported: Imported, directory: Path) -> str:
    status = imported.status
    if imported.known:
        return f"{directory} was imported already as batch {status.batch}."
    text = (
        f"Batch {status.batch} ({status.name}): {imported.tasks:,} of "
        f"{count(status.total, 'task')} have their outcomes"
    )
    if status.over:
        return f"{text}; it is {status.state}."
    return f"{text}; it is paused, `farm resume {status.batch}` runs the rest."
