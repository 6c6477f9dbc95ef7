"""``farm forget``: remove batches that have ended, with their results."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.batch.suggest import one_of
from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, Host, Tls
from farm.cli.output import Output, Result
from farm.cli.settings import open_session
from farm.client.batch import Batch
from farm.errors import FarmError, UsageError

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
        _check_ended(list(found.values()))
        _forget(output, list(found.values()))
    ids = list(found)
    text = "\n".join(f"Batch {one} is forgotten." for one in ids)
    output.result(Result({"forgotten": ids}, lambda: text))


def _check_ended(batches: list[Batch]) -> None:
    """Before the first one goes, see that all of them can.

    Raises:
        UsageError: some have not ended.
    """
    going_on = [str(batch.id) for batch in batches if not batch.status().over]
    if not going_on:
        return
    one = len(going_on) == 1
    which = f"batch {going_on[0]} has" if one else f"batches {one_of(going_on, 'and')} have"
    nothing = "; nothing is forgotten" if len(batches) > 1 else ""
    raise UsageError(f"{which} not ended: wait, or `farm cancel {going_on[0]}` first{nothing}")


def _forget(output: Output, batches: list[Batch]) -> None:
    for number, batch in enumerate(batches):
        try:
            batch.forget()
        except FarmError:
            for gone in batches[:number]:
                output.warn(f"batch {gone.id} is forgotten")
            raise
