"""The tables that people read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.simulation.extrapolation import MANY_NODES, MANY_SLOTS, Check, Costs, Reach
from benchmarks.simulation.figures import Figures

PHASES = {
    "join": "join, all at once",
    "idle": "idle: heartbeats",
    "single": "at work, one by one",
    "life": "at work, as in life",
    "flat": "at work, flat out",
    "half": "at work, half of that",
    "queued": "many small batches",
}

LIMITS = {
    "nodes": "limit nodes: the simulated nodes were at their end, and not the server.",
    "others": (
        "limit others: neither the server nor the nodes were at their end, because other programs "
        "had the processor; measure once more when it is idle."
    ),
}

HEADINGS = (
    "nodes", "what", "seconds", "calls/s", "leases/s", "reports/s", "tasks/s",
    "lease p50", "p99 ms", "report p50", "p99 ms", "server", "MB", "kB/node", "nodes' CPU", "limit",
)  # fmt: skip


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns, each as wide as it must be; words to the left, numbers to the right."""
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number == 1 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def row(phase: Figures) -> list[str]:
    """One line of the table of phases."""
    counts = (phase.calls, phase.leases, phase.reports, phase.tasks)
    times = (phase.lease_p50, phase.lease_p99, phase.report_p50, phase.report_p99)
    return [
        f"{phase.nodes:,}",
        PHASES[phase.phase],
        f"{phase.seconds:.2f}",
        *(f"{count:,.0f}" if count else "-" for count in counts),
        *(f"{time:.1f}" if time else "-" for time in times),
        f"{phase.server:.0%}",
        f"{phase.memory / 1e6:.0f}",
        f"{phase.grown / 1e3:.0f}",
        " ".join(f"{share:.0%}" for share in phase.generators),
        phase.limit,
    ]


def costs_text(costs: Costs) -> str:
    """What things cost a server, in a sentence."""
    return (
        f"With {costs.nodes:,} nodes: {1e3 * costs.connection:.2f} ms of a core for a connection, "
        f"{1e3 * costs.beat:.3f} ms for a heartbeat, {1e3 * costs.pair:.2f} ms for a lease and its "
        f"report, {1e3 * costs.task:.3f} ms for each further task in it, of which there are "
        f"{costs.most:,.0f} a second at most; {costs.memory / 1e3:.0f} kB of memory for a node."
    )


def reaches_text(reaches: Iterable[Reach]) -> str:
    """What one server carries."""
    headings = (
        "task",
        f"tasks/s of {MANY_SLOTS:,} slots",
        f"cores for that, {MANY_NODES:,} nodes",
        f"slots of one server, {MANY_NODES:,} nodes",
        "1,000 nodes",
    )
    return table(
        headings,
        (
            (
                f"{reach.lasts:g} s",
                f"{reach.wanted:,.0f}",
                f"{reach.load:.1f}",
                f"{reach.slots:,.0f}",
                f"{reach.alone:,.0f}",
            )
            for reach in reaches
        ),
    )


def checks_text(checks: Iterable[Check]) -> str:
    """Whether what few nodes say holds with more."""
    return "\n".join(
        f"{check.nodes:,} nodes, {PHASES[check.phase]}: {check.measured:.0%} of a core, where "
        f"{check.by:,} nodes foretell {check.predicted:.0%}"
        for check in checks
    )
