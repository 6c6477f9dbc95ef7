"""``farm schema``: the JSON schema of batch files."""

from __future__ import annotations

import sys

import typer

from farm.batch import model
from farm.cli.command import output_of
from farm.client.jsontext import to_json


def command(ctx: typer.Context) -> None:
    """Print the JSON schema of batch files, for editors that complete and check YAML."""
    text = to_json(model.schema(), encoding=sys.stdout.encoding, indent=2)
    output_of(ctx).lines(text + "\n")
