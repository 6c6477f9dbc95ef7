"""``farm drain``: let a node finish what it runs, and leave."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, Host, Tls
from farm.cli.output import Result
from farm.cli.settings import open_session
from farm.printable import in_line

NodeRef = Annotated[
    str, typer.Argument(metavar="NODE", help="A node: its id or its name.", show_default=False)
]


def command(
    ctx: typer.Context,
    node: NodeRef,
    host: Host = None,
    authkey_file: AuthkeyFile = None,
    tls: Tls = None,
) -> None:
    """Let a node finish what it runs and leave; it takes nothing new."""
    logs.set_up(0)
    with open_session(host, authkey_file, tls) as session:
        told = session.drain(node)
    text = (
        f"Node {told.node} ({in_line(told.name)}) finishes what it runs, takes nothing new, and "
        "leaves."
    )
    output_of(ctx).result(Result({"node": told.node, "name": told.name}, lambda: text))
