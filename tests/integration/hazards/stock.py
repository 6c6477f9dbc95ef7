"""Servers of both kinds in processes of their own, and clients that speak the manager's protocol.

The protocol is the same for both (CPython's `multiprocessing.managers`), so that one and the same
peer is shown to both servers.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Client
from multiprocessing.managers import BaseManager, dispatch
from pathlib import Path
from types import TracebackType
from typing import Any

from farm_harness import HOST, KEY, PATIENCE, Child
from plain_scripts import run

from farm.wire.frames import header

_HERE = Path(__file__).parent
_TESTS = _HERE.parents[1]


_EXACT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""The C library keeps what was freed for the next time, as long as it is no larger than what was
freed last (mallopt(3)), so that a process may hold seven MiB more without having any more. With a
threshold that is fixed, what is long is given back at once, and taken anew.
"""


class Served(Child):
    """A server as a process. It is waited for when it is first used, so that two start together.

    Args:
        kind: ``stock`` or ``farm``.
        data: the journal's directory; a stock server has none.
        port: 0 picks one.
        key: of a stock server; farm's has `KEY`.
        setup: code that the process runs first.
        flags: for Python, such as ``-O``.
    """

    def __init__(
        self,
        kind: str,
        data: Path,
        *,
        port: int = 0,
        key: bytes = KEY,
        setup: str = "",
        flags: tuple[str, ...] = (),
    ) -> None:
        script = str(_HERE / "hazard_process.py")
        path = os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH", "")]))
        self.process = subprocess.Popen(
            [sys.executable, *flags, script, kind, str(data), str(port), key.decode(), setup],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **_EXACT_MEMORY},
        )
        self.kind = kind

    @functools.cached_property
    def port(self) -> int:
        """Where it listens."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready"), f"the {self.kind} server did not start: {line}"
        return int(line.split()[1])

    @property
    def pid(self) -> int:
        """Of the process, once it serves."""
        assert self.port
        return self.process.pid

    def code(self) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(PATIENCE)


class Stock(BaseManager):
    """A client of a stock server, as its documentation has it."""


for _name in ("get_task_queue", "get_result_dict", "get_tools"):
    Stock.register(_name)


def connected(port: int, key: bytes = KEY) -> Any:
    """A client in this process, connected."""
    manager = Stock((HOST, port), authkey=key)
    manager.connect()
    return manager


def ask(port: int, name: str, *args: Any, key: bytes = KEY) -> Any:
    """One request of the manager itself, on a connection of its own."""
    with Client((HOST, port), authkey=key) as client:
        return dispatch(client, None, name, args)


def together(*scripts: tuple[str, int]) -> list[list[str]]:
    """Run plain clients, each with its server's port, at the same time; the lines they print."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda pair: run(*pair), scripts))


class Raw:
    """A connection that calls one object, with nothing of the standard library's proxies.

    Args:
        port: the server's.
        typeid: names the object.
        ident: of the object, if it is known already.
    """

    def __init__(self, port: int, typeid: str = "get_task_queue", ident: str = "") -> None:
        self.ident = ident or ask(port, "create", typeid)[0]
        self.connection = Client((HOST, port), authkey=KEY)
        dispatch(self.connection, None, "accept_connection", ("raw",))

    def call(self, method: str, *args: Any) -> Any:
        """A call and its answer."""
        return dispatch(self.connection, self.ident, method, args)

    def send(self, method: str, *args: Any) -> None:
        """A call whose answer is not read."""
        self.connection.send((self.ident, method, args, {}))

    @property
    def port(self) -> int:
        """That of this end."""
        with socket.socket(fileno=os.dup(self.connection.fileno())) as sock:
            return int(sock.getsockname()[1])

    def __enter__(self) -> Raw:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.connection.close()


def stranger(port: int) -> socket.socket:
    """A connection that has been challenged, and has not answered."""
    sock = socket.create_connection((HOST, port), timeout=PATIENCE)
    assert read_frame(sock).startswith(b"#CHALLENGE#")
    return sock


def read_frame(sock: socket.socket) -> bytes:
    """One frame, as `multiprocessing.connection` has them."""
    size = int.from_bytes(_exactly(sock, 4), "big")
    return _exactly(sock, size)


def send_frame(sock: socket.socket, frame: bytes) -> None:
    """Send one frame."""
    sock.sendall(header(len(frame)) + frame)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError(f"{len(data)} bytes instead of {size}")
        data += more
    return data


def rest(sock: socket.socket) -> bytes:
    """What still comes before the server closes the connection."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while more := sock.recv(4096):
            said += more
    return said
