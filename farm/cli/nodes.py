"""``farm nodes``: who works for a server."""

from __future__ import annotations

import msgspec
import typer
from rich.console import RenderableType

from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, Host, Tls
from farm.cli.output import Result
from farm.cli.settings import open_session
from farm.cli.tables import Fitted
from farm.cli.text import duration
from farm.wire.messages import NodeInfo

COLUMNS = (
    ">id", "name", "state", ">slots", ">running", ">done", ">failed", "address", ">up", ">heard",
    "farm", "python",
)  # fmt: skip
SPARE = ("python", "farm", "up", "address", "heard")
"""What a narrow terminal goes without, so that names stay whole."""


def command(
    ctx: typer.Context, host: Host = None, authkey_file: AuthkeyFile = None, tls: Tls = None
) -> None:
    """Show the nodes of a server, and those that left it lately."""
    logs.set_up(0)
    with open_session(host, authkey_file, tls) as session:
        nodes = session.nodes()
    document = {"nodes": [msgspec.structs.asdict(node) for node in nodes]}
    brief = "\n".join(node.name for node in nodes if node.state == "up")
    output_of(ctx).result(Result(document, lambda: _view(nodes), brief))


def _view(nodes: list[NodeInfo]) -> RenderableType:
    if not nodes:
        return "No nodes. `farm serve` prints the `farm worker` line that starts one."
    return Fitted(COLUMNS, map(_line, nodes), SPARE)


def _line(node: NodeInfo) -> tuple[object, ...]:
    return (
        str(node.node),
        node.name,
        node.state,
        node.slots,
        node.running,
        node.done,
        node.failed,
        node.address,
        duration(node.up),
        f"{duration(node.silent)} ago",
        node.version,
        node.python,
    )
