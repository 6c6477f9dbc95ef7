"""What the tests start: servers and nodes in threads and processes, and how they are waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from farm.client.link import Link
from farm.client.session import Session
from farm.engines.launch import prepare_context
from farm.engines.processes import ProcessEngine
from farm.server.manager import FarmManager, FarmServer
from farm.wire.address import Address
from farm.wire.credentials import Credentials
from farm.wire.keyring import Keyring
from farm.worker import Worker

KEY = b"0123456789abcdef0123456789abcdef"
HOST = "127.0.0.1"
PATIENCE = 30.0
"""Seconds after which something that must happen has not happened."""

_HERE = Path(__file__).parent


def eventually(condition: Callable[[], Any], what: str = "", seconds: float = PATIENCE) -> Any:
    """Wait until ``condition`` is true; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"did not happen within {seconds} s: {what}"
        time.sleep(0.01)
    return value


class ServerThread:
    """A server in a thread of this process; it can be stopped and started on the same data."""

    def __init__(self, data: Path, key: bytes | Keyring = KEY, **options: Any) -> None:
        self.data, self.key, self.port, self.options = data, key, 0, options
        self.start()

    def start(self) -> None:
        ready = threading.Event()
        manager = FarmManager((HOST, self.port), self.key, self.data, **self.options)
        self.server: FarmServer = manager.get_server()
        self.port = self.server.port
        self._thread = threading.Thread(
            target=self.server.serve_forever, args=(ready.set,), name="test-server"
        )
        self._thread.start()
        assert ready.wait(PATIENCE)

    @property
    def address(self) -> Address:
        return Address(HOST, self.port)

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the server does not stop"

    def session(self, credentials: bytes | Credentials = KEY) -> Session:
        return Session(Link(self.address, credentials))

    def call(self, function: Callable[[], Any]) -> Any:
        """Run something in the server's loop, which owns its state; the value."""
        done, found = threading.Event(), []

        def run() -> None:
            found.append(function())
            done.set()

        assert self.server._loop is not None
        self.server._loop.call_soon_threadsafe(run)
        assert done.wait(PATIENCE)
        return found[0]


class NodeThread:
    """A node in a thread of this process; its slots are processes."""

    def __init__(
        self,
        address: Address,
        name: str,
        slots: int,
        grace: float = 5.0,
        credentials: bytes | Credentials = KEY,
    ) -> None:
        self.joined = threading.Event()
        self.error: BaseException | None = None
        self.worker = Worker(
            ProcessEngine(slots), address, credentials, name=name, grace=grace,
            directory=Path(tempfile.mkdtemp(prefix="farm-test-")),
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name=f"test-node-{name}")
        self._thread.start()
        eventually(lambda: self.joined.is_set() or not self._thread.is_alive(), "the node joins")
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            self.worker.run(lambda _: self.joined.set())
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        if self._thread.is_alive():
            self.worker.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the node does not stop"


class Child:
    """A server or a node as a process, which can be killed.

    Args:
        role: ``server`` or ``node``.
        arguments: see `farm_process.py`.
    """

    def __init__(self, role: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(_HERE / "farm_process.py"), role, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready"), f"the {role} did not start: {line}"
        self.port = int(line.split()[1])

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(PATIENCE)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()


def _direct_children(pid: int | str) -> set[int]:
    """The children of a process, as the kernel lists them by thread (proc(5))."""
    found: set[int] = set()
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # the thread has ended: another one has its children
                found |= {int(child) for child in (task / "children").read_text().split()}
    except OSError:
        return found  # the process has ended meanwhile
    return found


def children_of(pid: int) -> set[int]:
    """The processes that descend from ``pid``."""
    found = _direct_children(pid)
    for child in set(found):
        found |= children_of(child)
    return found


def helpers_of_multiprocessing() -> set[int]:
    """The fork server and the resource tracker, which the standard library keeps for good."""
    found = set()
    for child in _direct_children("self"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"forkserver" in command or b"resource_tracker" in command:
                found.add(child)
    return found


def start_fork_server() -> None:
    """Start what the slots of nodes in threads descend from.

    It lives as long as this process, with the environment of its beginning: not one that a test
    has marked.
    """
    prepare_context()
    forkserver.ensure_running()


def state_of(pid: int) -> str:
    """A process's state as proc(5) has it: ``R``, ``S``, ``Z`` for a zombie; "" for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def zombies() -> set[int]:
    """The processes that descend from this one and that their parents have not reaped."""
    return {pid for pid in children_of(os.getpid()) if state_of(pid) == "Z"}


def marked(mark: str) -> set[int]:
    """The processes whose environment holds ``mark``, whoever their parent is by now."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile, or belongs to somebody else
    return found - {os.getpid()}
