"""What was measured, as it is printed and written. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.simulation.server import Usage
from benchmarks.simulation.tally import Tally, percentile

BUSY = 0.9
"""Share of a core above which a process is as fast as it can be."""


@dataclass(frozen=True)
class Figures:
    """One phase with so many nodes.

    Args:
        nodes: how many there are.
        slots: of each.
        phase: ``join``, ``idle``, ``single``, ``life``, ``flat`` (out), ``half`` (of that) or
            ``queued``.
        seconds: it took.
        lasts: seconds that a task occupies its slot.
        calls, leases, reports, tasks, beats: a second; calls are all messages to the server.
        lease_p50, lease_p99: milliseconds from `Want` to `Lease`.
        report_p50, report_p99: milliseconds from `Report` to `Done`.
        server: share of one core that the server took.
        generators: the same of each process of nodes.
        memory: resident bytes of the server at the end.
        grown: of them, those that came with the nodes, for each node.
    """

    nodes: int
    slots: int
    phase: str
    seconds: float
    lasts: float
    calls: float
    leases: float
    reports: float
    tasks: float
    beats: float
    lease_p50: float
    lease_p99: float
    report_p50: float
    report_p99: float
    server: float
    generators: list[float]
    memory: int
    grown: float

    @property
    def limit(self) -> str:
        """What was as fast as it could be: ``server``, ``nodes`` (the simulation), or nothing.

        ``others`` where flat out neither was: what else runs on the machine had the processor.
        """
        if self.server >= BUSY:
            return "server"
        if max(self.generators, default=0.0) >= BUSY:
            return "nodes"
        return "others" if self.phase == "flat" else ""


@dataclass(frozen=True)
class Moment:
    """What the server and the processes of nodes had used when a phase began or ended."""

    usage: Usage
    cpu: list[float]


def figures(
    nodes: tuple[int, int], phase: str, began: Moment, ended: Moment, seen: Tally, *,
    lasts: float = 0.0, before: int = 0, seconds: float = 0.0,
) -> Figures:  # fmt: skip
    """Of what was counted in a phase.

    Args:
        nodes: how many, and slots of each.
        phase: its name.
        began, ended: what had been used.
        seen: by the nodes in between.
        lasts: see `Figures`.
        before: the server's memory before the nodes came.
        seconds: of the phase, where it is not all the time from one moment to the other.
    """
    seconds = seconds or ended.usage.when - began.usage.when
    return Figures(
        nodes=nodes[0],
        slots=nodes[1],
        phase=phase,
        seconds=seconds,
        lasts=lasts,
        calls=seen.calls / seconds,
        leases=len(seen.leases) / seconds,
        reports=len(seen.reports) / seconds,
        tasks=seen.tasks / seconds,
        beats=seen.beats / seconds,
        lease_p50=1e3 * percentile(seen.leases, 0.5),
        lease_p99=1e3 * percentile(seen.leases, 0.99),
        report_p50=1e3 * percentile(seen.reports, 0.5),
        report_p99=1e3 * percentile(seen.reports, 0.99),
        server=(ended.usage.cpu - began.usage.cpu) / seconds,
        generators=[(new - old) / seconds for old, new in zip(began.cpu, ended.cpu, strict=True)],
        memory=ended.usage.memory,
        grown=(ended.usage.memory - before) / nodes[0],
    )
