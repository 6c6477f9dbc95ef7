"""What the log says of nodes: one printable line each, and of each address a few a minute."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from farm_service import Hand, World

from farm.server.complaints import PER_MINUTE
from farm.server.nodestate import NodeState
from farm.wire.leases import Join, Part, Report
from farm.wire.messages import Refused

SECOND = struct.pack("f", 1.0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """The lines of the server's log that have these words."""
    caplog.set_level(logging.INFO, "farm.server")
    return lambda words: [
        record.getMessage() for record in caplog.records if words in record.getMessage()
    ]


@pytest.mark.parametrize("name", ["", "a\nb", "a\x1b[31mb", "a\x9bb", "a\u202eb", "n" * 201])
def test_a_name_is_one_printable_line(world: World, name: str) -> None:
    answer = world.ask(Join(name, 1, [], "token"), world.connect("node"))
    assert isinstance(answer, Refused)
    assert answer.code == "bad-request"
    assert world.desk._nodes == {}


def test_the_log_says_who_is_silent(world: World, lines: Callable[[str], list[str]]) -> None:
    Hand(world, "näme 7")
    world.clock.pass_time(12.0)
    assert lines("joined") == ["node 1 (näme 7): joined from näme 7 with 2 slots"]
    (line,) = lines("silent")
    assert line == "node 1 (näme 7): has been silent for 11 s, its leases go to others"


def test_of_very_many_that_fall_silent_a_few_are_named(
    world: World, lines: Callable[[str], list[str]]
) -> None:
    for number in range(200):
        Hand(world, f"n{number}" + "x" * 150)
    world.clock.pass_time(12.0)
    assert len(lines("has been silent")) == PER_MINUTE
    assert max(map(len, lines("has been silent"))) < 150
    world.clock.pass_time(70.0)
    assert len(lines("200 of this kind within a minute")) == 2  # came, and fell silent


def test_results_that_come_again_and_again_are_few_lines(
    world: World, lines: Callable[[str], list[str]]
) -> None:
    node, batch = Hand(world, "node"), world.submit(1)
    node.want()
    for _ in range(100):
        part = Part(batch, 0, 1, b"x", SECOND)
        world.ask(Report([part], [], []), node.peer)
    assert 0 < len(lines("came again")) <= PER_MINUTE


def test_a_name_from_an_earlier_journal_is_written_out(
    world: World, lines: Callable[[str], list[str]]
) -> None:
    ghost = NodeState(7, "t", "g\x1b[2J\n" + "x" * 1000, 0.0)
    world.desk._add(ghost)
    world.ledger.join(7, ghost.name, 1)
    world.clock.pass_time(12.0)
    (line,) = lines("silent")
    assert line.startswith("node 7 (g\\x1b[2J\\nxxx")
    assert line.isprintable()
