"""The count itself: it finds what is lost, double or changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.batches import Counted
from chaos.counts import executions, of_executions, of_indices, of_ranges, of_watching
from chaos.tasks import count


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ([(0, 4), (4, 10)], []),
        ([(0, 4), (5, 10)], ["b: the journal lacks (4, 5)"]),
        ([(0, 4), (4, 9)], ["b: the journal lacks (9, 10)"]),
        ([], ["b: the journal lacks (0, 10)"]),
        ([(0, 5), (4, 10)], ["b: the journal has more than once (4, 5)"]),
        ([(0, 10), (2, 3), (2, 3)], ["b: the journal has more than once (2, 3), (2, 3)"]),
        ([(0, 12)], ["b: the journal has more than once (10, 12)"]),
    ],
)
def test_ranges_meet_end_to_end(ranges: list[tuple[int, int]], said: list[str]) -> None:
    assert list(of_ranges("b", ranges, 10)) == said


def test_each_index_is_shown_once() -> None:
    assert list(of_indices("b", [2, 0, 1], 3)) == []
    lost, twice = of_indices("b", [2, 0, 0], 3)
    assert "no outcome for a client: 1" in lost
    assert "more than one outcome: 0" in twice


def test_what_was_seen_stays() -> None:
    rows = [(index, "done", 7, "a", 0.1, 1) for index in range(3)]
    assert list(of_watching("b", rows[:2], rows)) == []
    assert list(of_watching("b", rows[:2], rows[1:])) != []
    assert list(of_watching("b", rows, rows[:2])) != []
    assert list(of_watching("b", rows, [*rows[:2], (2, "done", 8, "a", 0.1, 1)])) != []


def test_a_task_that_ran_again_needs_a_cause() -> None:
    assert list(of_executions("b", [1, 2], once=False)) == []
    assert list(of_executions("b", [1, 2], once=True)) == [
        "b: 1 tasks ran again without a cause: 1"
    ]
    assert list(of_executions("b", [1, 0], once=False)) == ["b: 1 tasks never ran: 1"]


def test_every_execution_leaves_its_mark(tmp_path: Path) -> None:
    counted = Counted.__new__(Counted)
    counted.marks, counted.total = tmp_path, 4
    for index in (0, 2, 2, 3):
        count(index, str(tmp_path))
    (tmp_path / "1").write_bytes((3).to_bytes(8, "little"))
    assert executions(counted) == [1, 0, 2, 2]
