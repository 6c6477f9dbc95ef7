"""In a narrow terminal columns go, and not the names."""

from __future__ import annotations

import io

import pytest
from fake_status import status
from rich.console import Console, RenderableType

from farm.cli.nodes import COLUMNS, SPARE
from farm.cli.nodes import _view as nodes_view
from farm.cli.status import _overview
from farm.wire.messages import NodeInfo

NAME = "render-17.example.org"


def node(name: str = NAME) -> NodeInfo:
    return NodeInfo(
        17, name, "192.0.2.117:40312", "draining", 16, 16, 1_234_567, 12, 1.5, 4000.0,
        "1.0.0", "3.11.7",
    )  # fmt: skip


def written(view: RenderableType, width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(view)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_the_names_of_nodes_stay_whole(width: int) -> None:
    head, _, line = written(nodes_view([node()]), width)[:3]
    assert NAME in line
    assert "1,234,567" in line
    assert "…" not in head + line
    assert max(len(head), len(line)) <= width
    shown = head.split()
    gone = [name for name in (column.lstrip(">") for column in COLUMNS) if name not in shown]
    assert set(gone) == set(SPARE[: len(gone)])
    assert (gone == []) == (width >= 160)


def test_as_many_columns_stay_as_have_room() -> None:
    counts = [len(written(nodes_view([node()]), width)[0].split()) for width in range(70, 170)]
    assert counts == sorted(counts)
    assert set(counts) == set(range(len(COLUMNS) - len(SPARE), len(COLUMNS) + 1))


def test_a_name_that_is_longer_than_that_is_cut_in_its_middle() -> None:
    line = written(nodes_view([node("a" * 80 + "z")]), 80)[2]
    assert len(line) <= 80
    assert "aaaa…" in line
    assert "z  " in line


def test_the_names_of_batches_stay_whole() -> None:
    known = [status(batch=1234, name=NAME, done=900_000, total=1_000_000, failed=100_000)]
    lines = written(_overview(known, [node()]), 80)
    assert NAME in lines[2]
    assert "900,000/1,000,000" in lines[2]
