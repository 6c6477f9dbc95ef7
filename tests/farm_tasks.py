"""Functions that tests submit by name."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path


def double(x: int) -> int:
    return 2 * x


async def double_later(x: int) -> int:
    return 2 * x


class Doubling:
    def __init__(self, x: int) -> None:
        self.x = x

    def run(self) -> int:
        return 2 * self.x


def fail(x: int) -> int:
    raise ValueError(f"no {x}")


def die_at(x: int, bad: int) -> int:
    if x == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def unpicklable(x: int) -> object:
    return threading.Lock() if x == 1 else x


def nap(seconds: float) -> None:
    time.sleep(seconds)


def wait_for(path: str, x: int = 0) -> int:
    """Run until a file is there."""
    while not Path(path).exists():
        time.sleep(0.01)
    return x


def began(directory: str, x: int) -> int:
    """Leave a trace of this attempt, then run until the directory holds ``go``."""
    Path(directory, f"began-{x}-{os.getpid()}-{time.monotonic_ns()}").touch()
    return wait_for(str(Path(directory, "go")), x)


def fail_first(directory: str, times: int) -> int:
    """Fail until it was called more than ``times`` times; how often it was called."""
    calls = len(list(Path(directory).iterdir())) + 1
    Path(directory, f"call-{calls}").touch()
    if calls <= times:
        raise RuntimeError(f"call {calls}")
    return calls


def big(size: int, x: int) -> bytes:
    return bytes([x]) * size


def short(x: int) -> int:
    time.sleep(0.0005)
    return x


def big_after(path: str, size: int, x: int) -> bytes:
    """So many bytes, once a file is there."""
    wait_for(path)
    return bytes([x % 256]) * size


def upper(text: str) -> str:
    return text.upper()


_CALLS = [0]


def count_calls(_: object = None) -> int:
    """How often this process has called it."""
    _CALLS[0] += 1
    return _CALLS[0]
