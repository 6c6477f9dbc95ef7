"""Servers, nodes and sessions for all tests, and a look at what a test leaves behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import plain_scripts
import pytest
from farm_harness import (
    KEY,
    Child,
    NodeThread,
    ServerThread,
    children_of,
    eventually,
    helpers_of_multiprocessing,
    marked,
    start_fork_server,
)
from hypothesis import settings

from farm.authority import Authority
from farm.client.session import Session
from farm.wire.credentials import Credentials
from farm.wire.keyring import Keyring

LEAVE_SECONDS = 10.0

# How long an example takes depends on what else runs on the machine: `timeout` bounds a whole test.
settings.register_profile("farm", deadline=None)
settings.load_profile("farm")


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Fail a test that leaves a process or a thread behind."""
    processes, threads = children_of(os.getpid()), set(threading.enumerate())
    yield
    plain_scripts.let_go()

    def left() -> set[int]:
        return children_of(os.getpid()) - processes - helpers_of_multiprocessing()

    def running() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t not in threads and not t.daemon]

    try:
        eventually(lambda: not left(), "all processes end", LEAVE_SECONDS)
        eventually(lambda: not running(), "all threads end", LEAVE_SECONDS)
    except AssertionError:
        stayed, still = left(), running()
        for pid in stayed:
            os.kill(pid, signal.SIGKILL)
        pytest.fail(f"the test leaves behind processes {stayed}, threads {still}")


@pytest.fixture
def authkey() -> bytes:
    """The key of `server`."""
    return KEY


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The directory of the journal of `server`."""
    return tmp_path / "data"


@pytest.fixture
def server(data: Path) -> Iterator[ServerThread]:
    """A server in a thread."""
    running = ServerThread(data)
    yield running
    running.stop()


@pytest.fixture
def serve(data: Path) -> Iterator[Callable[..., ServerThread]]:
    """Starts a server in a thread with options of its own: ``serve(limits=Limits(...))``."""
    started: list[ServerThread] = []

    def start(key: bytes | Keyring = KEY, **options: Any) -> ServerThread:
        started.append(ServerThread(data / str(len(started)), key, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def node_at() -> Iterator[Callable[..., NodeThread]]:
    """Starts nodes of any server in threads: ``node_at(server, credentials, slots=2)``."""
    started: list[NodeThread] = []

    def start(
        server: ServerThread,
        credentials: bytes | Credentials = KEY,
        *,
        name: str = "node7",
        slots: int = 1,
        grace: float = 5.0,
    ) -> NodeThread:
        started.append(NodeThread(server.address, name, slots, grace, credentials))
        return started[-1]

    yield start
    for one in started:
        one.worker.stop()
    for one in started:
        one.stop()


@pytest.fixture
def node(server: ServerThread, node_at: Callable[..., NodeThread]) -> Callable[..., NodeThread]:
    """Starts nodes of `server` in threads: ``node(name, slots)``."""

    def start(name: str = "node7", slots: int = 2, grace: float = 5.0) -> NodeThread:
        return node_at(server, name=name, slots=slots, grace=grace)

    return start


@pytest.fixture
def session(server: ServerThread) -> Iterator[Session]:
    """A session with `server`."""
    with server.session() as opened:
        yield opened


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Child]]:
    """Starts servers and nodes as processes, see `Child`; none of theirs may stay."""
    mark = uuid.uuid4().hex
    start_fork_server()  # before there is a mark, which it would pass on
    monkeypatch.setenv("FARM_TEST_MARK", mark)
    started: list[Child] = []

    def start(role: str, *arguments: object) -> Child:
        started.append(Child(role, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.stop()
    try:
        eventually(lambda: not marked(mark), "the processes of killed nodes end", LEAVE_SECONDS)
    finally:
        for pid in marked(mark):
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a certificate authority, which nobody changes."""
    pytest.importorskip("cryptography", reason="certificates are made with farm[tls]")
    directory = tmp_path_factory.mktemp("authority") / "tls"
    Authority.create(directory)
    return directory


@pytest.fixture
def tls(template: Path, tmp_path: Path) -> Path:
    """The directory of a certificate authority."""
    return Path(shutil.copytree(template, tmp_path / "tls"))
