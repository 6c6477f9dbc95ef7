"""Tasks that tests submit by name and that do harm: they kill their process, hang, or fail.

Each leaves a trace in a directory, so that a test can count the attempts without farm's help.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

GIGABYTE = 1_000_000_000


def die(directory: str, x: int, bad: int, way: str) -> int:
    """Task ``bad`` counts this run by a byte in the file ``runs``, and ends its process."""
    if x == bad:
        _append(directory, "runs", b".")
        if way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif way == "exit":
            os._exit(1)
        else:
            bytearray(GIGABYTE)
    return 3 * x + 1


def hang(directory: str, x: int, stubborn: bool, bad: int = 0) -> int:
    """Task ``bad`` says who runs it and since when, and never returns.

    Args:
        directory: gets the file ``hangs-X`` with the process's id and the time, in seconds of
            `time.monotonic`.
        x: the task.
        stubborn: whether it ignores SIGTERM.
        bad: which one hangs.
    """
    began = time.monotonic()
    if x != bad:
        return x
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note = Path(directory, f".hangs-{x}")
    note.write_text(f"{os.getpid()} {began!r}")
    note.rename(Path(directory, f"hangs-{x}"))  # whole, or not there
    while True:
        time.sleep(1)


def hang_always(directory: str, x: int, stubborn: bool) -> int:
    """Every one of them hangs, see `hang`."""
    return hang(directory, x, stubborn, bad=x)


def fail_timed(directory: str, x: int) -> None:
    """Note when this attempt has begun, and fail."""
    _append(directory, f"attempts-{x}", f"{time.monotonic()!r}\n".encode())
    raise RuntimeError(f"task {x} fails")


def fail_on(node: str, x: int) -> str:
    """Fail on one node; the name of any other, as its environment has it."""
    time.sleep(0.01)
    here = os.environ["FARM_TEST_NODE"]
    if here == node:
        raise RuntimeError(f"task {x} does not work on {here}")
    return here


def fail_until_mended(directory: str, x: int, bad: int, worst: int) -> int:
    """Until there is a file ``mended``: ``bad`` hangs, what is above ``worst`` fails."""
    if Path(directory, "mended").exists():
        return x
    if x == bad:
        hang(directory, x, stubborn=True, bad=bad)
    while not Path(directory, f"hangs-{bad}").exists():
        time.sleep(0.01)
    if x > worst:
        raise RuntimeError("the cause is not mended yet")
    return x


def span(x: int, seconds: float) -> tuple[float, float]:
    """When it began and ended, in seconds of `time.monotonic`, which is one for all processes."""
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


def counted(directory: str, x: int, seconds: float = 0.001) -> int:
    """Count this run in the file ``begun``, as four bytes that nobody can divide."""
    _append(directory, "begun", x.to_bytes(4, "little"))
    time.sleep(seconds)
    return x


def _append(directory: str, name: str, data: bytes) -> None:
    """One write to the end of a file: it is there whatever happens next."""
    file = os.open(Path(directory, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, data)
    os.close(file)
