"""Runs the sides of a case one after another, again and again, each in a process of its own.

In each repeat every side is measured once, so that a machine that is slow for a while is so for
all of them. Nothing of one side runs while another is measured: what a measurement started carries
a mark, and is gone before the next begins.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.case import OWN, Case, Measured
from benchmarks.cluster import ROOT
from benchmarks.processes import end_marked
from benchmarks.side import read_result

SIDE_SECONDS = 1800.0
"""After so long a measurement has failed."""

MARK = "FARM_BENCH_MARK"

LOG_LINES = 15
"""Of what a failed measurement printed, that are shown."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Scope:
    """What to run of each case, and how large.

    Args:
        scale: the share of the full size.
        huge: tasks of the case of that name.
        repeats: of each side; None for as many as the case says.
        peers: whether others than farm are measured.
    """

    scale: float = 1.0
    huge: int = 100_000_000
    repeats: int | None = None
    peers: bool = True


@dataclass
class Outcome:
    """What came of a case.

    Args:
        found: what each side measured, one entry a repeat.
        left_out: sides that were not measured, and why.
        error: why farm itself was not, though it is there.
    """

    case: Case
    found: dict[str, list[Measured]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    error: str = ""


def run_case(case: Case, scope: Scope, say: Say) -> Outcome:
    """Measure all sides of a case; ends early where farm itself cannot be measured."""
    outcome = Outcome(case)
    for repeat in range(scope.repeats or case.repeats):
        for side in case.sides:
            if side in outcome.left_out or (side != OWN and not scope.peers):
                continue
            say(f"{case.name}: {side}, run {repeat + 1}")
            measured, absent, failed = _in_a_process(case, side, scope)
            if measured:
                outcome.found.setdefault(side, []).append(measured)
                continue
            outcome.left_out[side] = absent or failed
            outcome.found.pop(side, None)
            if side == OWN:
                outcome.error = failed
                return outcome
    return outcome


def _in_a_process(case: Case, side: str, scope: Scope) -> tuple[Measured, str, str]:
    with tempfile.TemporaryDirectory(prefix="fb-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        mark = secrets.token_hex(8)
        command = [sys.executable, "-m", "benchmarks.side", case.name, side]
        command += [str(scope.scale), str(scope.huge), name]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, MARK: mark, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the runner, which then ends all of it
            )
        try:
            process.wait(SIDE_SECONDS)
        except subprocess.TimeoutExpired:
            return {}, "", f"it has not ended within {SIDE_SECONDS:g} s"
        finally:
            _end(process, f"{MARK}={mark}")
        measured, absent, failed = read_result(directory)
        return measured, absent, failed and f"{failed}\n{_end_of_log(directory)}".rstrip()


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Nothing of a measurement is left: what does not end by itself is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.wait()
        end_marked(mark, 0.0)
    end_marked(mark)


def _end_of_log(directory: Path) -> str:
    text = (directory / "log").read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-LOG_LINES:])
