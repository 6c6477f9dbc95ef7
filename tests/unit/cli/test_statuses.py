"""How a batch stands and how it ended, in words and in the details of `farm status`."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rich.console import Console
from test_progress import status

from farm.cli.progress import words
from farm.cli.status import _details, _overview
from farm.cli.statuses import closing, left, standing
from farm.client.status import document_of
from farm.wire.messages import Stalled


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "Batch 1 (b) is running: 50 of 100 tasks done."),
        ({"state": "paused", "running": 2}, "Batch 1 (b) is paused: 50 of 100 tasks done; "
         "2 still running."),
        ({"state": "cancelled", "failed": 3}, "Batch 1 (b) is cancelled: 50 of 100 tasks done, "
         "3 failed."),
    ],
)  # fmt: skip
def test_standing(changes: dict[str, Any], text: str) -> None:
    assert standing(status(**changes)) == text


def test_what_a_batch_was_stopped_by_and_what_to_do_next() -> None:
    stopped = closing(status(state="cancelled", reason="more than 3 tasks failed"))
    assert stopped == (
        "Batch 1 (b) was cancelled (more than 3 tasks failed): 50 of 100 tasks were done. "
        "`farm retry 1` tries the rest again."
    )
    assert "`farm retry 1` tries them again" in closing(status(state="failed", failed=50))
    assert "retry" not in closing(status(state="done", done=100))


def test_nobody_knows_when_a_paused_batch_ends() -> None:
    assert left(status()) is not None
    assert left(status(state="paused")) is None


def details(**changes: Any) -> str:
    console = Console(width=400)
    with console.capture() as captured:
        console.print(_details(status(**changes)))
    return captured.get()


def test_details_say_why_and_what_came_twice() -> None:
    text = details(state="paused", paused=True, reason="its nodes are broken", repeated=3)
    assert "Batch 1 (b): paused" in text
    assert "  reason     its nodes are broken" in text
    assert "3 results came twice and were dropped" in text
    assert "1 result came twice and was dropped" in details(repeated=1)
    assert "reason" not in details()
    assert "twice" not in details()


FULL = Stalled("database or disk is full", 1_700_000_000.0, "Free room on the disk")


def test_what_keeps_the_whole_server_is_said_with_what_to_do() -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(FULL.since))
    said = (
        f"The server cannot write its journal since {since} (database or disk is full): it takes "
        "no batches and holds results back until it can. Free room on the disk."
    )
    assert said in " ".join(details(stalled=FULL).split("\n"))
    console = Console(width=400)
    with console.capture() as captured:
        console.print(_overview([status(stalled=FULL), status(stalled=FULL)], []))
    assert captured.get().count(said) == 1
    assert "journal" not in details()
    assert document_of(status(stalled=FULL))["stalled"] == {
        "why": FULL.why, "since": FULL.since, "advice": FULL.advice,
    }  # fmt: skip
    assert document_of(status())["stalled"] is None
    assert "held back, as the server cannot write its journal" in words(status(stalled=FULL))
    assert "held back" not in words(status())


def test_json_has_all_fields() -> None:
    document = document_of(status(paused=True, reason="why", repeated=2))
    assert (document["paused"], document["reason"], document["repeated"]) == (True, "why", 2)
