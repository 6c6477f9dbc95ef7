"""What a server with much to do hands out: work for a pace, and the pace with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm_service import Hand, World

from farm.batch.spec import Options
from farm.server.ledger import Ledger
from farm.server.load import LEAST_REPORTS, Load
from farm.server.nodes import SWEEP_SECONDS
from farm.server.sizing import LEASE_SECONDS
from farm.server.states import Grant, size_of
from farm.wire.leases import Lease, Want, worth

SLOTS, PACE = 4, 2.0


def ledger_of(total: int = 10**6, mean: float = 1.0, nodes: int = 2, **options: float) -> Ledger:
    """A batch whose tasks take so long, and nodes."""
    ledger = Ledger()
    ledger.submit(1, total, Options(**options))  # type: ignore[arg-type]
    for node in range(1, nodes + 1):
        ledger.join(node, f"node{node}", SLOTS)
    if mean:
        ledger.complete(1, 1, 0, 1, seconds=mean)
    ledger.pace = PACE
    return ledger


def lease(ledger: Ledger, node: int = 1, ahead: float = 0.0, idle: int = 0) -> Grant:
    grant = ledger.lease(node, 1, idle=idle, now=0.0, ahead=ahead)
    assert grant is not None
    return grant


def size(grant: Grant) -> int:
    return size_of(grant.ranges)


def test_it_lasts_until_the_node_has_spoken_once_more() -> None:
    grant = lease(ledger_of())
    assert (size(grant), grant.pace) == (int(worth(PACE) * SLOTS), PACE)


def test_what_waits_on_the_node_is_not_given_again() -> None:
    assert size(lease(ledger_of(), ahead=1.5)) == int((worth(PACE) - 1.5) * SLOTS)
    assert size(lease(ledger_of(), ahead=60.0)) == 1


def test_many_slots_get_some_ahead_of_tasks_that_outlast_a_pace() -> None:
    ledger = ledger_of(mean=10.0)
    ledger.join(3, "large", 100)
    assert size(lease(ledger, node=3)) == int(worth(PACE) / 10.0 * 100)


def test_leases_become_small_as_the_batch_runs_out() -> None:
    ledger = ledger_of(total=200, nodes=4)
    sizes = []
    while grant := ledger.lease(len(sizes) % 4 + 1, 1, idle=1, now=0.0):
        sizes.append(size(grant))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == int(worth(PACE) * SLOTS)
    assert max(sizes[-3:]) <= SLOTS  # one for each slot


def test_without_a_pace_leases_are_as_ever() -> None:
    ledger = ledger_of(mean=0.01)
    ledger.pace = 0.0
    grant = lease(ledger, ahead=60.0)
    assert (size(grant), grant.pace) == (int(LEASE_SECONDS / 0.01) * SLOTS, 0.0)


def test_a_batch_of_which_nothing_is_known_has_no_pace() -> None:
    grant = lease(ledger_of(mean=0.0))
    assert (size(grant), grant.pace) == (1, 0.0)


@pytest.mark.parametrize("options", [{"max_parallel": 50}, {"rate": 500.0}, {"rerun": False}])
def test_what_waits_for_idle_slots_is_leased_as_ever(options: dict[str, float]) -> None:
    ledger = ledger_of(**options)
    grant = lease(ledger, idle=1)
    assert (size(grant), grant.pace) == (1, 0.0)


def test_while_some_waits_for_idle_slots_nothing_is_given_ahead() -> None:
    """Else no slot of a busy farm would ever be idle for it."""
    ledger = ledger_of(priority=1)
    ledger.submit(2, 10, Options(max_parallel=5))
    grant = lease(ledger)
    assert (grant.batch, size(grant), grant.pace) == (1, 1, 0.0)


class Pressed:
    """A world whose server has as much to do as is said."""

    def __init__(self, data: Path) -> None:
        self.world = World(data)
        self.share = self.spent = 0.0
        self.world.service._cpu = lambda: self.spent  # type: ignore[method-assign]
        self.world.service._load = Load(reports=1.0)

    def second(self, share: float) -> float:
        self.spent += share * SWEEP_SECONDS
        self.world.clock.pass_time(SWEEP_SECONDS)
        return self.world.ledger.pace


@pytest.fixture
def pressed(tmp_path: Path) -> Pressed:
    return Pressed(tmp_path / "data")


def test_a_sweep_makes_the_pace_and_a_lease_brings_it(pressed: Pressed) -> None:
    batch = pressed.world.submit(1000)
    hand = Hand(pressed.world, "node", SLOTS)
    hand.want()
    hand.report(batch, done=[(0, 1)])
    pressed.second(1.0)
    pressed.world.ledger.batches[batch].mean = 0.5
    pace = pressed.second(1.0)
    assert pace > 0.0
    pressed.world.send(hand.peer, Want(SLOTS, 0, 0.05))
    pressed.world.clock.turn()
    given = [told for told in hand.pushed if isinstance(told, Lease)][-1]
    assert given.pace == pace
    assert size_of(given.ranges) == max(SLOTS, int((worth(pace) - 0.05) / 0.5 * SLOTS))


def test_nodes_that_hold_nothing_do_not_count(pressed: Pressed) -> None:
    Hand(pressed.world, "node", SLOTS)
    assert [pressed.second(1.0) for _ in range(5)] == [0.0] * 5


def test_real_servers_ask_no_few_nodes(tmp_path: Path) -> None:
    assert World(tmp_path / "data").service._load._reports == LEAST_REPORTS
