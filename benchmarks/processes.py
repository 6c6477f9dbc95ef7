"""Processes as the kernel sees them: memory, CPU time, and all that carry a mark (proc(5))."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

LEAVE_SECONDS = 20.0
"""Given to the processes of a measurement to end by themselves before they are killed."""

LOOK_SECONDS = 0.05

_TICKS = os.sysconf("SC_CLK_TCK")


def peak_megabytes(pid: int) -> float:
    """The most memory that a process has had resident.

    It is VmHWM, not getrusage's ``ru_maxrss``: that one begins with what the parent had when it
    made the process.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(f"process {pid} has ended")


def cpu_seconds(pid: int) -> float:
    """What a process has used by now, all its threads together; 0 if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    # After the name, which may hold anything, utime and stime are the 12th and 13th.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def stop(process: subprocess.Popen[str], seconds: float) -> None:
    """Ask it to end, and kill it after that time; what it still says is thrown away."""
    process.terminate()
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def marked(mark: str) -> list[int]:
    """The processes that have ``mark`` (``NAME=value``) in their environment; no zombies."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue  # it has ended, or belongs to somebody else
    return found


def end_marked(mark: str, seconds: float = LEAVE_SECONDS) -> None:
    """Wait until no process carries the mark; kill those that still do after that time."""
    deadline = time.monotonic() + seconds
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    for pid in marked(mark):
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(pid, signal.SIGKILL)
