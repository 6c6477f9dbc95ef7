"""What a command writes to a terminal: nothing of other people's text is obeyed there."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from fake_status import status

from farm.cli.nodes import _view as nodes_view
from farm.cli.output import Json, Output, Quiet, Result, Tables
from farm.cli.progress import _Bar, _Lines
from farm.cli.status import _details, _overview
from farm.cli.statuses import standing
from farm.cli.tables import results_table
from farm.cli.writing import csv_lines
from farm.errors import FarmError
from farm.wire.messages import NodeInfo, NodeShare

EVIL = "x\x1b]0;owned\x07\x9b31m\ry"
SHOWN = "x\\x1b]0;owned\\x07\\x9b31m\\ry"


class _Terminal(io.StringIO):
    """A stream that says of itself that it is one."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def terminal() -> Iterator[_Terminal]:
    """Both streams are one, for a while."""
    stream = _Terminal()
    with (
        pytest.MonkeyPatch.context() as patched,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        patched.setenv("TERM", "xterm-256color")
        patched.setenv("COLUMNS", "160")
        yield stream


def node() -> NodeInfo:
    """One all of whose texts are hostile."""
    return NodeInfo(1, EVIL, EVIL, EVIL, 1, 0, 0, 0, 0.0, 0.0, EVIL, EVIL)


def row() -> dict[str, Any]:
    """A failure, likewise."""
    error = {"type": EVIL, "message": EVIL, "traceback": EVIL}
    return {
        "index": 0, "params": {EVIL: EVIL}, "status": EVIL, "result": None, "seconds": 0.0,
        "node": EVIL, "attempts": 1, "error": error,
    }  # fmt: skip


def evil_status() -> Any:
    """A batch, likewise."""
    return status(name=EVIL, reason=EVIL, state="failed", nodes=[NodeShare(EVIL, 1, 1.0)])


VIEWS = {
    "nodes": lambda: nodes_view([node()]),
    "status": lambda: _overview([evil_status()], [node()]),
    "details": lambda: _details(evil_status()),
    "results": lambda: results_table([row()]),
    "sentence": lambda: f"Batch {EVIL} is there.",
}


def harmless(written: str) -> bool:
    """Whether only what rich says of its own accord is for the terminal."""
    return not any(part in written for part in ("\x1b]", "\x07", "\x9b", "\r"))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view(name: str) -> None:
    with terminal() as shown:
        Tables().result(Result({}, VIEWS[name]))
    assert harmless(shown.getvalue())
    assert SHOWN[:9] in shown.getvalue()  # a narrow column cuts its middle out


@pytest.mark.parametrize("output", [Tables(), Json(), Quiet()], ids=lambda one: type(one).__name__)
def test_everything_else_that_is_said(output: Output) -> None:
    with terminal() as shown:
        output.result(Result({EVIL: EVIL}, lambda: EVIL, EVIL))
        output.note(EVIL)
        output.warn(EVIL)
        output.error(FarmError(EVIL))
        output.trace(FarmError(EVIL))
        output.lines("".join(csv_lines([row()], [EVIL])))
    assert harmless(shown.getvalue())
    assert shown.getvalue().count("owned") >= 4


def test_progress() -> None:
    with terminal() as shown, _Bar() as bar:
        bar.show(evil_status())
    written = shown.getvalue()
    assert "\x1b]" not in written
    assert "\x07" not in written
    assert SHOWN in written
    said: list[str] = []
    _Lines(said.append, lambda: 0.0).show(evil_status())
    assert said[0].startswith(SHOWN)


def test_a_pipe_gets_a_csv_file_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    text = "".join(csv_lines([row()], [EVIL]))
    Tables().lines(text)
    assert pipe.getvalue() == text
    assert EVIL in text


def test_a_name_forges_no_line_of_what_is_told_about_a_batch() -> None:
    named = msgspec.structs.replace(
        status(), name="a\n  reason     forged", reason="b\nforged", state="done"
    )
    with terminal() as shown:
        Tables().result(Result({}, lambda: _details(named), ""))
        Tables().result(Result({}, lambda: standing(named), ""))
    assert shown.getvalue().count("a\\n  reason     forged") == 2
    assert "b\\nforged" in shown.getvalue()
