"""``farm resume``: go on with a batch that is paused."""

from __future__ import annotations

import typer

from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, BatchRef, Host, Tls
from farm.cli.output import Result
from farm.cli.settings import open_session
from farm.cli.statuses import standing
from farm.client.status import document_of


def command(
    ctx: typer.Context,
    batch: BatchRef,
    host: Host = None,
    authkey_file: AuthkeyFile = None,
    tls: Tls = None,
) -> None:
    """Go on with a batch that is paused."""
    logs.set_up(0)
    with open_session(host, authkey_file, tls) as session:
        status = session.batch(batch).resume()
    output_of(ctx).result(Result(document_of(status), lambda: standing(status)))
