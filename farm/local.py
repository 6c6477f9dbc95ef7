"""A farm for one session on this machine: a server and one node, as processes of their own.

They are the same server and node as anywhere. They read what they need to know (the key among it)
from their standard input, and stop when that is closed: nothing stays behind even if the process
that started them is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

from farm.allocation import keep_freed
from farm.client.link import Link
from farm.client.session import Session
from farm.cpus import usable_cpus
from farm.engines.processes import ProcessEngine
from farm.errors import FarmError, UsageError
from farm.scratch import scratch_directory
from farm.server.manager import FarmManager
from farm.wire.address import Address
from farm.worker import Worker

STOP_SECONDS = 5.0
"""Given to the server and to the node to stop, each, before they are killed."""

HOST = "127.0.0.1"

# Modules that this process can import can be imported by tasks, without a PYTHONPATH that the
# commands of a batch would inherit.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]);"
    " from farm.local import run_helper; sys.exit(run_helper(sys.argv[1]))"
)


def local(processes: int | None = None) -> Session:
    """Start a farm on this machine for this session alone; closing the session stops it.

    Args:
        processes: how many tasks run at a time; as many as CPUs this process may use if not given.

    Raises:
        UsageError: ``processes`` is not a number of at least 1.
        FarmError: a process could not be started; the message holds what it said.

    Example:
        >>> with farm.local(processes=2) as session:            # doctest: +SKIP
        ...     print(list(session.submit(pow, params=[{"base": 2, "exp": 5}]).results()))
        [32]
    """
    if processes is not None and (not isinstance(processes, int) or processes < 1):
        raise UsageError(f"processes is a number of at least 1, not {processes!r}")
    key = secrets.token_urlsafe(32)
    helpers: list[_Helper] = []
    try:
        # Both start at the same time; the node is told where the server is when that is known.
        server, node = _Helper("server"), _Helper("node")
        helpers = [node, server]
        port = int(server.tell({"authkey": key}))
        node.tell({"authkey": key, "port": port, "processes": processes or usable_cpus()})
        link = Link(Address(HOST, port), key.encode())
        for helper in helpers:
            helper.watch(link.fail)
    except BaseException:
        _stop(helpers)
        raise
    return Session(link, lambda: _stop(helpers))


class _Helper:
    """The server or the node of a local farm, as this process sees it."""

    def __init__(self, role: str) -> None:
        self.role = role
        # What tasks print goes where errors go: this process's output is its own.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, role, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C in a terminal reaches this process alone, which then stops the helpers.
            start_new_session=True,
        )
        self._stopping = False
        self._watcher: threading.Thread | None = None

    def watch(self, failed: Callable[[FarmError], None]) -> None:
        """From now on, call ``failed`` if it ends before it is told to."""

        def wait() -> None:
            code = self._process.wait()
            if not self._stopping:
                failed(
                    FarmError(f"the local {self.role} has ended with exit code {code}; see above")
                )

        self._watcher = threading.Thread(target=wait, name=f"farm-{self.role}", daemon=True)
        self._watcher.start()

    def tell(self, settings: dict[str, Any]) -> str:
        """Send its settings; its answer, once it is ready.

        Raises:
            FarmError: it has ended instead.
        """
        stdin, stdout = self._pipes()
        with contextlib.suppress(BrokenPipeError):  # it has ended: there will be no answer either
            stdin.write(json.dumps(settings).encode() + b"\n")
            stdin.flush()
        answer = stdout.readline().decode()
        if not answer.startswith("ready"):
            raise FarmError(f"the local {self.role} did not start: {answer.strip() or 'see above'}")
        return answer.removeprefix("ready").strip()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def stop(self) -> None:
        """End it, whatever it takes."""
        self._stopping = True
        stdin, stdout = self._pipes()
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._watcher is not None:
            self._watcher.join()
        stdout.close()


def _stop(helpers: list[_Helper]) -> None:
    """Stop each, one after the other, also where one of them is interrupted by Ctrl-C."""
    if helpers:
        try:
            helpers[0].stop()
        finally:
            _stop(helpers[1:])


# -- inside the helpers -----------------------------------------------------------------------


def _serve(settings: dict[str, Any], ready: Callable[[str], None]) -> None:
    with scratch_directory("farm-server") as data:
        manager = FarmManager((HOST, 0), settings["authkey"].encode(), data)
        server = manager.get_server()
        _on_end_of_input(server.stop)
        keep_freed()
        ready(str(server.port))
        server.serve_forever()


def _work(settings: dict[str, Any], ready: Callable[[str], None]) -> None:
    with scratch_directory("farm-node") as directory:
        worker = Worker(
            ProcessEngine(settings["processes"]),
            Address(HOST, settings["port"]),
            settings["authkey"].encode(),
            name="local",
            directory=directory,
            grace=0.0,
        )
        _on_end_of_input(worker.stop)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: worker.stop(number))
        keep_freed()
        worker.run(lambda _: ready(""))


def _on_end_of_input(stop: Callable[[], None]) -> None:
    """Stop when whoever started this process closes its input, or dies."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        stop()

    threading.Thread(target=watch, name="farm-input", daemon=True).start()


def run_helper(role: str) -> int:
    """Be the server or the node of a local farm; the exit code."""
    output = os.dup(1)
    os.dup2(2, 1)  # what tasks print must not be taken for an answer

    def say(text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # who started this process has gone: so it ends
            os.write(output, f"{text}\n".encode())

    def ready(text: str) -> None:
        say(f"ready {text}")

    settings = json.loads(_read_line())
    try:
        {"server": _serve, "node": _work}[role](settings, ready)
    except FarmError as error:
        say(str(error))
        print(f"The local {role}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _read_line() -> bytes:
    """One line of standard input, byte by byte: what follows is for the watcher."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            raise SystemExit(0)  # whoever started this process is gone already
        line += byte
    return line
