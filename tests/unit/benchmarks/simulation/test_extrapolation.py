"""What follows from a few figures for many nodes."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.simulation import printing
from benchmarks.simulation.extrapolation import Costs, checked, costs_of, reaches
from benchmarks.simulation.figures import Figures, Moment, figures
from benchmarks.simulation.scenarios import Account
from benchmarks.simulation.server import Usage
from benchmarks.simulation.tally import Tally

COSTS = Costs(
    nodes=100, connection=1e-3, beat=1e-4, pair=5e-4, task=1e-4, most=5000 / 0.9, memory=11e3
)


def phase(name: str, nodes: int = 100, **values: float) -> Figures:
    given = {
        "seconds": 2.0, "lasts": 1.0, "calls": 0.0, "leases": 0.0, "reports": 0.0, "tasks": 0.0,
        "beats": 0.0, "lease_p50": 0.0, "lease_p99": 0.0, "report_p50": 0.0, "report_p99": 0.0,
        "server": 0.5, "memory": 50_000_000, "grown": 11e3,
    }  # fmt: skip
    return Figures(nodes=nodes, slots=4, phase=name, generators=[0.3], **{**given, **values})  # type: ignore[arg-type]


def test_a_phase_is_what_was_counted_in_its_time() -> None:
    began, ended = Moment(Usage(10.0, 1.0, 5000), [2.0]), Moment(Usage(12.0, 2.0, 7000), [2.5])
    seen = Tally(tasks=10, calls=40, beats=4)
    seen.leases.extend([0.001, 0.003])
    found = figures((4, 2), "life", began, ended, seen, lasts=1.0, before=3000)
    assert (found.tasks, found.calls, found.leases, found.beats) == (5.0, 20.0, 1.0, 2.0)
    assert (found.server, found.generators, found.grown) == (0.5, [0.25], 1000.0)
    assert (found.lease_p50, found.lease_p99) == pytest.approx((1.0, 3.0))


def test_costs_are_what_is_left_when_heartbeats_are_paid() -> None:
    costs = costs_of({
        "join": phase("join", server=0.5, seconds=0.4),
        "idle": phase("idle", server=0.004, beats=40.0),
        "single": phase("single", server=0.254, beats=40.0, leases=450.0, reports=550.0),
        "flat": phase("flat", server=0.9, leases=800.0, reports=1200.0, tasks=5000.0),
    })  # fmt: skip
    assert dataclasses.asdict(costs) == pytest.approx(dataclasses.asdict(COSTS))


def test_load_grows_with_nodes_and_with_tasks() -> None:
    assert COSTS.load(3000, 0.0) == pytest.approx(0.1)
    assert COSTS.load(3000, 400.0) == pytest.approx(0.1 + 0.2)


def test_what_is_beyond_the_fewest_reports_costs_as_much_as_tasks_in_larger_ones() -> None:
    assert COSTS.load(3000, 1500.0) == pytest.approx(0.1 + 500 * 5e-4 + 1000 * 1e-4)
    assert COSTS.load(9000, 1500.0) == pytest.approx(0.3 + 900 * 5e-4 + 600 * 1e-4)


def test_as_many_slots_fit_as_fill_the_headroom() -> None:
    for reach in reaches(COSTS):
        assert COSTS.load(10_000, reach.slots / reach.lasts) == pytest.approx(0.5)
        assert COSTS.load(1000, reach.alone / reach.lasts) == pytest.approx(0.5)
        assert reach.wanted * reach.lasts == pytest.approx(1_000_000)


def test_no_slot_fits_where_heartbeats_take_it_all() -> None:
    assert COSTS.slots(100_000, 3600.0) == 0.0


def test_only_phases_that_cost_what_they_ask_are_checked() -> None:
    more = [
        phase("idle", 1000, server=0.04, beats=333.0),
        phase("flat", 1000, server=0.99),
        phase("half", 1000, server=0.6, leases=1000.0, reports=1000.0, tasks=3000.0),
        phase("half", 1000, server=0.95, leases=1000.0, reports=1000.0),
        phase("half", 100),
    ]
    found = checked(more, COSTS)
    assert [(check.phase, check.measured) for check in found] == [("idle", 0.04), ("half", 0.6)]
    assert [check.predicted for check in found] == pytest.approx([1 / 30, 0.5 + 0.2 + 1 / 30])
    assert "1,000 nodes, idle: heartbeats: 4% of a core" in printing.checks_text(found)


@pytest.mark.parametrize(
    ("name", "server", "generator", "limit"),
    [
        ("flat", 0.95, 0.95, "server"),
        ("flat", 0.5, 0.95, "nodes"),
        ("flat", 0.5, 0.5, "others"),
        ("half", 0.5, 0.5, ""),
    ],
)
def test_what_was_at_its_end(name: str, server: float, generator: float, limit: str) -> None:
    found = phase(name, server=server)
    found.generators[:] = [generator]
    assert found.limit == limit
    assert printing.row(found)[-1] == limit


@pytest.mark.parametrize(
    ("account", "holds"),
    [
        (Account(100, done=60, acknowledged=60, pending=40, repeated=0), True),
        (Account(100, done=60, acknowledged=59, pending=40, repeated=0), False),
        (Account(100, done=60, acknowledged=60, pending=39, repeated=0), False),
        (Account(100, done=60, acknowledged=60, pending=40, repeated=1), False),
    ],
)
def test_every_task_is_to_be_accounted_for_once(account: Account, holds: bool) -> None:
    assert account.holds is holds
