"""How long a server takes from its start to its first answer, with a large batch half done."""

from __future__ import annotations

import array
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from farm.batch import spec as specs
from farm.client.session import Session, connect
from farm.server.journal import Journal
from farm.server.reading import BatchRow

TASKS = 1_000_000
MAX_SECONDS = 2.0
KEY = "measured" * 5

_CODE = """\
def work(index):
    return sum(range(400))
"""
_BATCH = f"""\
name: half
python: work.py:work
params: {{count: {TASKS}}}
"""


@contextlib.contextmanager
def serving(data: Path) -> Iterator[tuple[int, Session, float]]:
    """A server: its process, a session with it, and seconds from its start to its first status."""
    command = [sys.executable, "-m", "farm", "serve", "--port", "0", "--quiet", "--data", str(data)]
    began = time.perf_counter()
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        with connect(address, KEY.encode()) as session:
            session.batches()
            yield server.pid, session, time.perf_counter() - began
    finally:
        server.kill()
        server.wait()


def half_done_by_nodes(directory: Path) -> float:
    """Seconds after ``kill -9``, where nodes have done half of it as they do it: in large parts."""
    (directory / "work.py").write_text(_CODE)
    (directory / "half.yaml").write_text(_BATCH)
    data = directory / "data"
    with serving(data) as (pid, session, _):
        host = session.address
        worker = subprocess.Popen(
            [sys.executable, "-m", "farm", "worker", "--host", host],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,  # that it loses its server
        )  # fmt: skip
        try:
            batch = session.submit(str(directory / "half.yaml"))
            while batch.status().done < TASKS // 2:
                time.sleep(0.01)
            os.kill(pid, signal.SIGKILL)
        finally:
            worker.kill()
            worker.wait()
    return _restart(data)


def half_done_one_by_one(directory: Path) -> float:
    """Seconds in the worst case: a row for each task, and no two of them neighbours."""
    data = directory / "data"
    journal = Journal(data)
    spec = specs.Spec("half", specs.PythonCall("os:getpid"), space={"count": TASKS})
    row = BatchRow(1, "token", "half", TASKS, specs.Options(), "", time.time(), time.time())
    journal.add_batch(row, specs.encode(spec))
    payload, seconds = pickle.dumps([12345], 5), array.array("f", [0.5]).tobytes()
    for seq in range(TASKS // 2):
        index, node = 2 * seq, f"node-{seq % 10}"
        journal.add_done(seq + 1, 1, (index, index + 1), node, 0.5, index, payload, seconds)
        if seq % 10_000 == 0:
            journal.commit()
    journal.close()
    return _restart(data)


def _restart(data: Path) -> float:
    with serving(data) as (_, session, seconds):
        status = session.status("last")
        if not TASKS // 2 <= status.done < TASKS:
            raise RuntimeError(f"half of it should be done, not {status}")
    return seconds


def figures(directory: Path) -> list[tuple[str, float, float | None, str]]:
    """As `measure.run`."""
    os.environ["FARM_AUTHKEY"] = KEY
    found: list[tuple[str, float, float | None, str]] = []
    for what, measured in (
        ("restart, half of 10^6 done", half_done_by_nodes),
        ("restart, 500,000 single rows", half_done_one_by_one),
    ):
        place = directory / measured.__name__
        place.mkdir()
        found.append((what, measured(place), MAX_SECONDS, "s"))
    return found
