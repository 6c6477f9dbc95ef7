"""A well-behaved client, as a process: how long its calls take.

    python -m fuzz.probe farm PORT KEY_FILE      farm's own client
    python -m fuzz.probe plain PORT KEY_FILE     one of the standard library

Prints ``ready`` after its first call, and at the end of its input a JSON document: for each call,
the seconds at which it began and that it took.
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.managers import BaseManager
from pathlib import Path

import farm
from farm.errors import UnknownBatchError
from fuzz.talk import HOST

PAUSE = {"farm": 0.005, "plain": 0.02}
"""Seconds between calls."""


@contextmanager
def by_farm(port: int, key: bytes) -> Iterator[Callable[[], None]]:
    """Calls of farm's client, one after another of several kinds."""
    with farm.connect(f"{HOST}:{port}", key) as session:

        def status() -> None:
            try:
                session.status(1)
            except UnknownBatchError:
                return  # that is an answer, too

        kinds = itertools.cycle([status, lambda: session.batches(10), status, session.nodes])
        yield lambda: next(kinds)() and None


@contextmanager
def by_plain(port: int, key: bytes) -> Iterator[Callable[[], None]]:
    """Calls of an unmodified manager's proxy."""

    class Farm(BaseManager):
        pass

    Farm.register("get_task_queue")
    manager = Farm((HOST, port), authkey=key)
    manager.connect()
    tasks = manager.get_task_queue()  # type: ignore[attr-defined]
    yield tasks.qsize


def main() -> None:
    """Run as a process."""
    kind, port, file = sys.argv[1:]
    lost: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lost.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("farm").addHandler(handler)  # the link warns when it is cut off
    over = threading.Event()
    calls: list[tuple[float, float]] = []
    began = time.monotonic()
    opened = {"farm": by_farm, "plain": by_plain}[kind]
    with opened(int(port), Path(file).read_bytes().strip()) as call:
        call()
        print("ready", flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
        while not over.wait(PAUSE[kind]):
            at = time.monotonic()
            call()
            calls.append((at - began, time.monotonic() - at))
    print(json.dumps({"calls": calls, "lost": lost}), flush=True)


if __name__ == "__main__":
    main()
