"""Process groups: every slot leads one, so that what a task starts ends with its slot."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

TERM_SECONDS = 0.3
"""What is told to end by SIGTERM has so long before SIGKILL."""

_LOOK_SECONDS = 0.01


def signal_group(pid: int, *, kill: bool) -> bool:
    """Signal the group that ``pid`` leads, or ``pid`` alone if it does not lead one yet.

    Args:
        pid: a slot's process.
        kill: SIGKILL, else SIGTERM.

    Returns:
        Whether there was anything to signal.
    """
    if sys.platform == "win32":
        return _signal(os.kill, pid, signal.SIGTERM)
    number = signal.SIGKILL if kill else signal.SIGTERM
    return _signal(os.killpg, pid, number) or _signal(os.kill, pid, number)


def _signal(send: Callable[[int, int], None], pid: int, number: int) -> bool:
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        return False
    return True


class Leftovers:
    """Groups whose slot has died: told to end, then killed."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}

    def add(self, pid: int, now: float, kill_at: float | None = None) -> None:
        """A slot has died; end what it left.

        Args:
            pid: the slot's process, and so its group.
            now: `time.monotonic`.
            kill_at: when SIGKILL is due, if SIGTERM was sent before.
        """
        if self._alive(pid) and (kill_at is not None or signal_group(pid, kill=False)):
            self._until[pid] = now + TERM_SECONDS if kill_at is None else kill_at

    def enforce(self, now: float) -> None:
        """Kill what is due."""
        for pid in [pid for pid, until in self._until.items() if until <= now]:
            del self._until[pid]
            if self._alive(pid):
                signal_group(pid, kill=True)

    def due(self) -> float | None:
        """When `enforce` has work (`time.monotonic`)."""
        return min(self._until.values(), default=None)

    def finish(self, deadline: float) -> None:
        """Wait for all to end until ``deadline`` (`time.monotonic`), then kill them."""
        while any(map(self._runs, self._until)) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        self.enforce(math.inf)

    @staticmethod
    def _alive(pid: int) -> bool:
        """Whether the group has members; its number is not used again while it has."""
        return sys.platform != "win32" and _signal(os.killpg, pid, 0)

    @classmethod
    def _runs(cls, pid: int) -> bool:
        """Whether the group has members that are more than zombies.

        What a slot leaves behind is reaped by the machine's first process, which in a container
        may never do so.
        """
        return cls._alive(pid) and (sys.platform != "linux" or any(_running_members(pid)))


def _running_members(group: int) -> Iterator[int]:
    """The processes of a group that are no zombies (proc(5): state, parent, group)."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found = file.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(found) == group and state not in "ZX":
            yield int(file.parent.name)
