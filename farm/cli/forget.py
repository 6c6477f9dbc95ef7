"""``farm forget``: remove batches that have ended, with their results."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, Host, Tls
from farm.cli.output import Output, Result
from farm.cli.settings import open_session
from farm.client.batch import Batch
from farm.errors import FarmError

BatchRefs = Annotated[
    list[str],
    typer.Argument(
        metavar="BATCH...",
        help="Batches: their ids, names (the latest), or last.",
        show_default=False,
    ),
]


def command(
    ctx: typer.Context,
    batches: BatchRefs,
    host: Host = None,
    authkey_file: AuthkeyFile = None,
    tls: Tls = None,
) -> None:
    """Remove batches that have ended, with their results: the server's disk has room again."""
    logs.set_up(0)
    output = output_of(ctx)
    with open_session(host, authkey_file, tls) as session:
        # All are found before the first one goes: `last` is another one then.
        found = {batch.id: batch for batch in map(session.batch, batches)}
        _forget(output, list(found.values()))
    ids = list(found)
    text = "\n".join(f"Batch {one} is forgotten." for one in ids)
    output.result(Result({"forgotten": ids}, lambda: text))


def _forget(output: Output, batches: list[Batch]) -> None:
    for number, batch in enumerate(batches):
        try:
            batch.forget()
        except FarmError:
            for gone in batches[:number]:
                output.warn(f"batch {gone.id} is forgotten")
            raise
