"""Waiting for a batch that was handed to a server: progress to its end, then how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from farm.cli import progress
from farm.cli.output import Output, Result
from farm.cli.statuses import SOME_FAILED, closing
from farm.client.batch import Batch
from farm.client.status import document_of


def wait_for(output: Output, batch: Batch, more: Mapping[str, Any] | None = None) -> None:
    """Show how a batch goes until it has ended, then how it ended.

    Args:
        output: where to.
        batch: the batch; Ctrl-C leaves it alone.
        more: further keys of the JSON document.

    Raises:
        typer.Exit: with 1, if tasks failed or were cancelled.
    """
    try:
        status = progress.follow(batch, output)
    except KeyboardInterrupt:
        output.warn(f"batch {batch.id} goes on; `farm cancel {batch.id}` stops it")
        raise
    document = {**document_of(status), **(more or {})}
    output.result(Result(document, lambda: str(batch.id), str(batch.id)))
    output.note(closing(status))
    if status.state != "done":
        raise typer.Exit(SOME_FAILED)
