"""The table for the README: what is in it, how it reads, and what it keeps to itself."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import _remark, parse
from benchmarks.case import Case, Elsewhere, Must
from benchmarks.cases import CASES
from benchmarks.runner import Outcome
from benchmarks.table import figure, markdown
from benchmarks.verdicts import judge

MOST_ROWS = 25

MACHINE = {
    "date": "2026-11-25T01:02:03+00:00", "cores": 2, "cpu": "A Processor", "kernel": "6.1.0",
    "python": "3.11.7", "disk_mb_s": 1234, "memory_gb": 8.0, "filesystem": "ext4", "load": [0.5],
}  # fmt: skip
VERSIONS = {"farm": "0.1.0", "ray": "2.60.0"}

CASE = Case(
    "calls", "title", {"rate": "/s", "p50": "ms", "seen": "MB"},
    {"rate": "calls of nothing", "p50": "one call"},
    {}, (
        Must("rate", "Ray", least=0.6, aim=0.9),
        Must("rate", "Absent", most=2, elsewhere=Elsewhere(1e6, "another run")),
        Must("p50", most=5),
    ),
)  # fmt: skip
OUTCOME = Outcome(
    CASE,
    {"farm": [{"rate": 1234567.0, "p50": 7.0, "seen": 1.0}] * 3,
     "Ray": [{"rate": 12345.0, "p50": 9.0}] * 3},
    {"Absent": "FileNotFoundError: /home/somebody/absent on host.example"},
)  # fmt: skip


def table(*outcomes: Outcome, remark: str = "") -> list[str]:
    return markdown(list(outcomes), MACHINE, VERSIONS, remark=remark).splitlines()


def test_a_figure_is_a_row_with_its_peers_their_ratios_and_limits_side_by_side() -> None:
    rows = [line for line in table(OUTCOME) if line.startswith("| ")]

    assert rows[1:] == [
        "| calls of nothing | 1,230,000/s "
        "| Ray 12,300/s<br>Absent 1,000,000/s (not measured here: another run) "
        "| 100<br>1.23 | at least 0.6, aim 0.9<br>at most 2 |",
        "| one call | 7.00 ms |  |  | at most 5 ms (**missed**) |",
    ]
    assert {row.count(" | ") for row in rows} == {4}


def test_one_line_says_when_where_and_how_often() -> None:
    once = Outcome(CASES["huge"], {"farm": [dict.fromkeys(CASES["huge"].units, 1.0)]})

    head, _, versions, *_ = table(OUTCOME, once)

    assert head == (
        "2026-11-25, 2 cores of A Processor, Linux 6.1.0, Python 3.11.7, a disk that takes "
        "1,234 MB/s written in order; medians of 3 runs (1 of `huge`):"
    )
    assert versions == "Versions: farm 0.1.0, ray 2.60.0."


def test_a_run_that_was_not_the_whole_one_says_so() -> None:
    options = parse(["--scale", "0.02", "--huge-tasks", "5000"])

    assert table(OUTCOME, remark=_remark(options))[0].endswith(
        "; a trial with 0.02 of the full sizes, 5,000 tasks in the case `huge`:"
    )
    assert _remark(parse([])) == ""


def test_what_was_left_out_is_named_without_places_or_hosts() -> None:
    text = "\n".join(table(OUTCOME))

    assert "Not measured in this run: Absent (`calls`)." in text
    assert "/home" not in text
    assert "host" not in text


def test_all_cases_together_are_not_too_many_rows() -> None:
    everything = [
        Outcome(case, {side: [dict.fromkeys(case.units, 1.0)] for side in case.sides})
        for case in CASES.values()
    ]

    rows = [line for line in table(*everything) if line.startswith("| ")][1:]

    assert len(CASES) < len(rows) <= MOST_ROWS


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_figure_and_every_peer_has_its_place(case: Case) -> None:
    found = {side: [dict.fromkeys(case.units, 1.0)] for side in case.sides}
    assert {verdict.metric for verdict in judge(case, found)} == set(case.words)
    assert {must.than for must in case.musts} - {""} == set(case.sides) - {"farm"}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1234567, "/s", "1,230,000/s"), (999.6, "", "1,000"), (123.4, "ms", "123 ms"),
        (0.0867, "ms", "0.0867 ms"), (2, "", "2.00"), (0.123456, "%", "0.123%"), (0, "s", "0.00 s"),
        (float("inf"), "", "very many times"),
    ],
)  # fmt: skip
def test_three_digits_say_something(value: float, unit: str, text: str) -> None:
    assert figure(value, unit) == text
