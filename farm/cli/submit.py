"""``farm submit``: a batch file becomes a batch of a server."""

from __future__ import annotations

import typer

from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, BatchFile, BatchName, Host, Overrides, Tls, Wait
from farm.cli.output import Result
from farm.cli.settings import open_session
from farm.cli.text import count
from farm.cli.waiting import wait_for
from farm.client.submission import load_file


def command(
    ctx: typer.Context,
    file: BatchFile,
    host: Host = None,
    authkey_file: AuthkeyFile = None,
    tls: Tls = None,
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
    with open_session(host, authkey_file, tls) as session:
        batch = session.submit(loaded)
        if wait:
            wait_for(output, batch)
            return
    document = {"batch": batch.id, "name": loaded.name, "total": loaded.total}
    output.result(Result(document, lambda: str(batch.id), str(batch.id)))
    output.note(f"Batch {batch.id} ({loaded.name}): {count(loaded.total, 'task')}.")
