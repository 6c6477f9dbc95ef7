"""Clients that end in the middle: killed, interrupted, or away for longer than a server waits."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import farm_tasks as tasks
import pytest
from farm_harness import HOST, KEY, PATIENCE, eventually

from farm.client.link import Link
from farm.client.pool import SessionPool
from farm.errors import FarmError
from farm.server import attendance

BEGINNING = """
import itertools, signal, sys, time
# In what a shell starts in its background it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from farm.client.link import Link
from farm.client.pool import SessionPool
from farm.client.session import Session
from farm.wire.address import Address

session = Session(Link(Address({host!r}, {port}), {key!r}))
"""

POOL = """
pool = SessionPool(session)
results = [pool.apply_async(time.sleep, (0.05,)) for _ in range(40)]
results[0].get()
print("ready", flush=True)
sys.stdin.read()
"""

ENDLESS = """
def points():
    for x in itertools.count():
        if x == 50_000:
            print("ready", flush=True)
        yield {"x": x}

with session:
    session.submit(abs, params=points())
"""


@pytest.fixture
def script(server) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a client that does something and says so."""
    started: list[subprocess.Popen[str]] = []

    def start(what: str) -> subprocess.Popen[str]:
        beginning = BEGINNING.format(host=HOST, port=server.port, key=KEY)
        process = subprocess.Popen(
            [sys.executable, "-c", beginning + what],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_of_a_pool_that_is_killed_what_is_queued_runs_and_the_batch_ends(
    server, node, script, monkeypatch
):
    monkeypatch.setattr(attendance, "AWAY_SECONDS", 0.5)
    node("n1", 2)
    process = script(POOL)
    with server.session() as session:
        assert session.status("last").open
        process.send_signal(signal.SIGKILL)
        status = session.batch("last").wait(PATIENCE)
    assert (status.state, status.done, status.open) == ("done", 40, False)
    assert status.reason == "closed, as its client had been away for 0.5 s"


def test_a_submission_without_end_that_is_interrupted_leaves_nothing(server, node, script):
    node("n1", 1)
    process = script(ENDLESS)
    with server.session() as session:
        assert session.status("last").open
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) != 0
        assert session.batches() == []


class Away:
    """Keeps a link from connecting again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.over = threading.Event()
        connect = Link._try_again
        monkeypatch.setattr(
            Link, "_try_again", lambda *args: connect(*args) if self.over.is_set() else None
        )


def test_a_pool_that_comes_back_late_is_told_what_was_not_taken_and_gets_the_rest(
    server, node, monkeypatch, tmp_path
):
    monkeypatch.setattr(attendance, "AWAY_SECONDS", 0.5)
    node("n1", 2)
    away = Away(monkeypatch)
    with server.session() as other, SessionPool(server.session()) as pool:
        assert pool.apply(abs, (-1,)) == 1
        marker = tmp_path / "go on"
        held = pool.apply_async(tasks.wait_for, (str(marker),))
        eventually(lambda: other.status("last").total == 2, "both calls are there")
        pool._session.link._channel.close()
        late = pool.apply_async(abs, (-2,))
        eventually(lambda: not other.status("last").open, "the batch is closed")
        away.over.set()
        with pytest.raises(FarmError, match=r"it was closed, as its client had been away"):
            late.get(PATIENCE)
        assert pool.apply(abs, (-3,)) == 3, "in another batch"
        assert not held.ready()
        marker.touch()
        held.get(PATIENCE)


def test_an_imap_that_comes_back_late_gets_what_was_taken_and_then_the_reason(
    server, node, monkeypatch, tmp_path
):
    monkeypatch.setattr(attendance, "AWAY_SECONDS", 0.5)
    node("n1", 2)
    away, go_on = Away(monkeypatch), threading.Event()
    markers = [str(tmp_path / name) for name in ("first", "late")]

    def arguments() -> Iterator[str]:
        yield markers[0]
        go_on.wait(PATIENCE)
        yield markers[1]

    with server.session() as other, SessionPool(server.session()) as pool:
        found = pool.imap(tasks.wait_for, arguments())
        eventually(lambda: other.batches() and other.status("last").total == 1, "the first is sent")
        pool._session.link._channel.close()
        eventually(lambda: not other.status("last").open, "the batch is closed")
        go_on.set()
        away.over.set()
        eventually(lambda: pool._mappings and _is_cut(pool), "the second was refused")
        (tmp_path / "first").touch()
        found.next(PATIENCE)
        with pytest.raises(FarmError, match=r"it was closed, as its client had been away"):
            found.next(PATIENCE)


def _is_cut(pool: SessionPool) -> bool:
    return all(one._cut is not None for one in pool._mappings)


def test_a_pool_that_comes_back_late_with_nothing_new_gets_its_results(server, node, monkeypatch):
    monkeypatch.setattr(attendance, "AWAY_SECONDS", 0.5)
    node("n1", 2)
    away = Away(monkeypatch)
    with server.session() as other, SessionPool(server.session()) as pool:
        results = [pool.apply_async(abs, (-x,)) for x in range(10)]
        eventually(lambda: other.batches() and other.status("last").total == 10, "all are there")
        pool._session.link._channel.close()
        assert other.batch("last").wait(PATIENCE).state == "done"
        away.over.set()
        assert [result.get(PATIENCE) for result in results] == list(range(10))
        eventually(lambda: pool._stream.is_over, "the pool has heard that it has ended")
        assert pool.apply(abs, (-3,)) == 3
