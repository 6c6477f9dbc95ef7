"""Progress of a batch until it ends: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Protocol

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from farm.cli.output import Output, console_for
from farm.cli.statuses import elapsed, is_alone, left, rate_of
from farm.cli.text import duration
from farm.client.batch import Batch
from farm.printable import in_line
from farm.wire.messages import Status

LOOK_SECONDS = 0.3
LINE_SECONDS = 5.0
"""Between two lines where there is no terminal."""


class _View(Protocol):
    def show(self, status: Status) -> None:
        """The batch stands so."""


def follow(batch: Batch, output: Output) -> Status:
    """Show how a batch goes until it has ended; its last status."""
    if not output.shows_progress:
        return batch.wait()
    view: AbstractContextManager[_View]
    view = _Bar() if sys.stderr.isatty() else nullcontext(_Lines(output.note, time.monotonic))
    with view as shown:
        status = batch.status()
        shown.show(status)
        while not status.over:
            status = batch.status(LOOK_SECONDS)
            shown.show(status)
    return status


def words(status: Status) -> str:
    """One line: how much is done, how fast, for how long still."""
    parts = [f"{status.done + status.failed:,}/{status.total:,}"]
    if status.failed:
        parts.append(f"{status.failed:,} failed")
    if status.state == "paused":
        still = f", {status.running:,} still running" if status.running else ""
        parts.append(f"paused{still} (`farm resume {status.batch}` goes on)")
    elif status.state == "waiting" or is_alone(status):
        parts.append("waiting for nodes")
    elif status.done or status.failed:
        parts.append(rate_of(status))
    if status.stalled is not None:
        parts.append("held back, as the server cannot write its journal (see `farm status`)")
    rest = left(status)
    if rest is not None:
        parts.append(f"{duration(rest)} left")
    elif status.over:
        parts.append(duration(elapsed(status)))
    return ", ".join(parts)


class _Lines:
    """A line at the beginning and at the end, and every few seconds between."""

    def __init__(self, write: Callable[[str], None], now: Callable[[], float]) -> None:
        self._write = write
        self._now = now
        self._due = 0.0

    def show(self, status: Status) -> None:
        if status.over or self._now() >= self._due:
            self._write(f"{in_line(status.name)}: {words(status)}")
            self._due = self._now() + LINE_SECONDS


class _Bar:
    """One line of a terminal that is written anew."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[words]}", markup=False),
            console=console_for(sys.stderr),
            expand=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, status: Status) -> None:
        if self._task is None:
            self._task = self._progress.add_task(in_line(status.name), words="", total=status.total)
        self._progress.update(
            self._task, completed=status.done + status.failed, words=words(status)
        )
