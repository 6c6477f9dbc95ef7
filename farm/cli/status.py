"""``farm status``: the batches of a server, or one of them in detail."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Group, RenderableType

from farm.cli import logs
from farm.cli.command import output_of
from farm.cli.options import AuthkeyFile, Host, Tls
from farm.cli.output import Result
from farm.cli.settings import open_session
from farm.cli.statuses import elapsed, is_alone, left, rate_of
from farm.cli.tables import Fitted, table
from farm.cli.text import count, duration, rate
from farm.client.status import document_of
from farm.printable import in_line
from farm.wire.messages import NodeInfo, Status

BatchArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[BATCH]",
        help="A batch: its id, its name (the latest), or last. All of them if left out.",
        show_default=False,
    ),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many batches.")]

SPARE = ("priority", "age", "rate")
"""What a narrow terminal goes without, so that names stay whole."""


def command(
    ctx: typer.Context,
    batch: BatchArgument = None,
    limit: Limit = 20,
    host: Host = None,
    authkey_file: AuthkeyFile = None,
    tls: Tls = None,
) -> None:
    """Show how batches stand, or one of them."""
    logs.set_up(0)
    output = output_of(ctx)
    with open_session(host, authkey_file, tls) as session:
        if batch is not None:
            status = session.status(batch)
            result = Result(document_of(status), lambda: _details(status), status.state)
        else:
            known, nodes = session.batches(limit), session.nodes()
            document = {
                "batches": [document_of(one) for one in known],
                "nodes": {"up": len(_up(nodes)), "slots": sum(n.slots for n in _up(nodes))},
            }
            brief = "\n".join(str(one.batch) for one in known)
            result = Result(document, lambda: _overview(known, nodes), brief)
    output.result(result)


def _up(nodes: list[NodeInfo]) -> list[NodeInfo]:
    return [node for node in nodes if node.state == "up"]


def _overview(known: list[Status], nodes: list[NodeInfo]) -> RenderableType:
    up = _up(nodes)
    slots = count(sum(node.slots for node in up), "slot")
    line = f"{count(len(up), 'node')} with {slots}"
    if not known:
        return f"No batches yet. {line}."
    columns = (">id", "name", "state", ">done", ">failed", ">running", ">rate", ">age", ">priority")
    lines = [line, *_stalled(known[0])]  # which is the same for all of them
    return Group(Fitted(columns, map(_line, known), SPARE), "", *lines)


def _stalled(status: Status) -> list[str]:
    """What keeps the server from going on, if something does."""
    if status.stalled is None:
        return []
    why, advice = in_line(status.stalled.why), in_line(status.stalled.advice)
    return [
        f"The server cannot write its journal since {_clock(status.stalled.since)} ({why}): it "
        f"takes no batches and holds results back until it can. {advice}."
    ]


def _line(status: Status) -> tuple[object, ...]:
    return (
        str(status.batch),
        status.name,
        status.state,
        f"{status.done:,}/{status.total:,}",
        status.failed,
        status.running,
        rate_of(status),
        duration(max(0.0, status.now - status.submitted)),
        status.priority,
    )


def _details(status: Status) -> RenderableType:
    lines = [
        f"Batch {status.batch} ({in_line(status.name)}): {status.state}",
        *([f"  reason     {in_line(status.reason)}"] if status.reason else []),
        *(["  nodes      none is there: `farm worker` starts one"] if is_alone(status) else []),
        f"  tasks      {_tasks(status)}",
        f"  submitted  {_clock(status.submitted)}",
    ]
    if status.started:
        lines.append(f"  started    {_clock(status.started)}")
    if status.ended:
        lines.append(f"  ended      {_clock(status.ended)}")
    if status.started:
        rest = left(status)
        eta = f", about {duration(rest)} left" if rest is not None else ""
        lines.append(f"  took       {duration(elapsed(status))}, {rate_of(status)}{eta}")
    if status.repeated:
        were = "was" if status.repeated == 1 else "were"
        lines.append(
            f"  repeated   {count(status.repeated, 'result')} came twice and {were} dropped"
        )
    lines.append(f"  priority   {status.priority}")
    if stalled := _stalled(status):
        lines += ["", *stalled]
    if not status.nodes:
        return "\n".join(lines)
    shares = (
        (share.node, share.done, duration(share.seconds), rate(share.done, elapsed(status)))
        for share in sorted(status.nodes, key=lambda share: -share.done)
    )
    return Group("\n".join(lines), "", table(("node", ">done", ">working", ">rate"), shares))


def _tasks(status: Status) -> str:
    counts = {
        "done": status.done,
        "failed": status.failed,
        "running": status.running,
        "pending": status.pending,
        "cancelled": status.cancelled,
        "tried again": status.retried,
    }
    words = ", ".join(f"{number:,} {word}" for word, number in counts.items() if number)
    return f"{status.total:,}: {words}" if words else f"{status.total:,}"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
