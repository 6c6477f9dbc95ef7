"""How far one server goes: what each thing costs it, and what follows for more nodes. Pure.

The server has one loop, so that it is at its end when what it does in a second takes a second. All
of it is told by four costs, which do not depend on the number of nodes (`checked` sees whether
that is so): those of a connection, of a heartbeat, of a lease with its report, and of each further
task in them. How many tasks these hold follows from the pace (see `farm.server.load`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.simulation.figures import Figures
from benchmarks.simulation.server import CONNECTIONS
from farm.server.load import LEAST_REPORTS, MAX_PACE
from farm.server.nodes import BEAT_SECONDS

HEADROOM = 0.5
"""Share of one core up to which latencies stay what they are at half of the most."""

DURATIONS = (1.0, 10.0, 60.0, 600.0, 3600.0)
"""Seconds of the tasks that are looked at."""

MANY_NODES, MANY_SLOTS = 10_000, 1_000_000

LEAST_COST = 1e-6
"""Seconds that a task costs in any case: where so little is left of what was measured, all else
took longer in that phase than it does by itself."""


@dataclass(frozen=True)
class Costs:
    """Of one server; seconds are of one core.

    Args:
        nodes: with how many it was measured.
        connection: seconds for one that is made, with its handshake.
        beat: seconds for a heartbeat.
        pair: seconds for a lease of one task and its report.
        task: seconds for each further task of a lease.
        most: tasks in a second, flat out with a core for itself.
        memory: bytes of a node.
    """

    nodes: int
    connection: float
    beat: float
    pair: float
    task: float
    most: float
    memory: float

    def spent(self, nodes: int, pairs: float, tasks: float) -> float:
        """The share of a core that so many nodes take, with so many leases, and tasks in them."""
        further = max(0.0, tasks - pairs)
        return nodes / BEAT_SECONDS * self.beat + pairs * self.pair + further * self.task

    def load(self, nodes: int, tasks: float) -> float:
        """The same where the server asks for as few leases and reports as it may."""
        return self.spent(nodes, min(tasks, _fewest(nodes)), tasks)

    def slots(self, nodes: int, lasts: float) -> float:
        """How many slots it keeps busy with tasks that last so long, within `HEADROOM`."""
        left = max(0.0, HEADROOM - nodes / BEAT_SECONDS * self.beat)
        single = min(left / self.pair, _fewest(nodes))
        return (single + (left - single * self.pair) / self.task) * lasts


def _fewest(nodes: int) -> float:
    """Reports a second at the longest pace."""
    return max(LEAST_REPORTS, nodes / MAX_PACE)


def pairs(phase: Figures) -> float:
    """Leases with their reports, a second: some leases are answered by several reports."""
    return (phase.leases + phase.reports) / 2


def costs_of(phases: Mapping[str, Figures]) -> Costs:
    """What the phases with one number of nodes say, by name."""
    join, idle, single, flat = (phases[name] for name in ("join", "idle", "single", "flat"))
    beat = idle.server / idle.beats if idle.beats else 0.0
    pair = (single.server - single.beats * beat) / pairs(single)
    further = flat.server - flat.beats * beat - pairs(flat) * pair
    return Costs(
        nodes=join.nodes,
        connection=join.server * join.seconds / (CONNECTIONS * join.nodes),
        beat=beat,
        pair=pair,
        task=max(LEAST_COST, further / max(1.0, flat.tasks - pairs(flat))),
        most=flat.tasks / flat.server,
        memory=idle.grown,
    )


@dataclass(frozen=True)
class Reach:
    """What tasks of one length ask of a server.

    Args:
        lasts: seconds of a task.
        wanted: tasks that begin in a second in `MANY_SLOTS` slots on `MANY_NODES` nodes.
        load: cores that these would take; there is one.
        slots: that one server keeps busy, on so many nodes.
        alone: the same on a thousand nodes.
    """

    lasts: float
    wanted: float
    load: float
    slots: float
    alone: float


def reaches(costs: Costs) -> list[Reach]:
    """For each of `DURATIONS`."""
    return [
        Reach(
            lasts,
            MANY_SLOTS / lasts,
            costs.load(MANY_NODES, MANY_SLOTS / lasts),
            costs.slots(MANY_NODES, lasts),
            costs.slots(1000, lasts),
        )
        for lasts in DURATIONS
    ]


@dataclass(frozen=True)
class Check:
    """Whether costs that were measured with fewer nodes hold with more.

    Args:
        nodes: with so many.
        by: the costs are of so many.
        phase: in this phase.
        predicted, measured: share of one core.
    """

    nodes: int
    by: int
    phase: str
    predicted: float
    measured: float


def checked(phases: Sequence[Figures], costs: Costs) -> list[Check]:
    """The phases of more nodes in which the server was not at its end."""
    return [
        Check(
            phase.nodes, costs.nodes, phase.phase,
            costs.spent(phase.nodes, pairs(phase), phase.tasks), phase.server,
        )
        for phase in phases
        if phase.phase in ("idle", "single", "life", "half")
        and phase.nodes > costs.nodes
        and not phase.limit
    ]  # fmt: skip
