"""``farm retry``: try tasks again that failed or were cancelled."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.indices import parse
from farm.cli.options import AuthkeyFile, BatchRef, Host, Tls, Wait, switch
from farm.cli.output import Result
from farm.cli.settings import open_session
from farm.cli.text import count
from farm.cli.waiting import wait_for
from farm.client.batch import Batch
from farm.client.status import document_of
from farm.errors import UsageError
from farm.printable import in_line
from farm.wire.messages import Status

FailedOption = Annotated[bool, switch("--failed", help="Only tasks that failed.")]
IndexOption = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="LIST",
        help="Only these of them: indices and ranges, e.g. 3,7-9.",
        show_default=False,
    ),
]


def command(
    ctx: typer.Context,
    batch: BatchRef,
    failed: FailedOption = False,
    index: IndexOption = None,
    wait: Wait = False,
    host: Host = None,
    authkey_file: AuthkeyFile = None,
    tls: Tls = None,
) -> None:
    """Try tasks of a batch again: all that failed or were cancelled, or some of them.

    What is done, or has not ended, stays as it is. With --wait the exit code is 1 if tasks failed.
    """
    logs.set_up(0)
    if failed and index is not None:
        raise UsageError("give --failed or --index, not both")
    output = output_of(ctx)
    with open_session(host, authkey_file, tls) as session:
        found = session.batch(batch)
        tasks = _retry(found, failed, index)
        status = found.status()
        if wait:
            output.note(_said(status, tasks, failed))
            wait_for(output, found, {"tasks": tasks})
            return
    document = {**document_of(status), "tasks": tasks}
    output.result(Result(document, lambda: _said(status, tasks, failed), str(tasks)))


def _retry(batch: Batch, failed: bool, index: str | None) -> int:
    if index is None:
        return batch.retry(failed=failed)
    ranges = parse(index, len(batch))
    return batch.retry(range(start, stop) for start, stop in ranges)


def _said(status: Status, tasks: int, failed: bool) -> str:
    name = f"batch {status.batch} ({in_line(status.name)})"
    if tasks:
        paused = f"; it is paused: `farm resume {status.batch}`" if status.paused else ""
        verb = "is" if tasks == 1 else "are"
        return f"{count(tasks, 'task')} of {name} {verb} tried again{paused}."
    which = "none has failed" if failed else "none of those has failed or was cancelled"
    return f"No task of {name} is tried again: {which}."
