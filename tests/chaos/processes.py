"""The real commands as processes: a server, its nodes, and what runs below them."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import farm
from chaos.proxy import HOST, Proxies, Proxy
from farm.client.session import Session

NODES = ("a", "b")
SLOTS = 2
LEAVE_SECONDS = 10.0
NO_SERVER = (1, 3)
"""Exit codes of a node whose first connection failed: 1 if it was cut within the greeting."""
MAX_EARLY = 10
"""Nodes that may come while there is no server; more do not come at all, for another reason."""

MARK = "FARM_CHAOS_MARK"


class BrokenError(Exception):
    """A promise is broken in a way after which there is no going on."""


class Command:
    """A ``farm`` command that runs until it is killed or told to stop."""

    def __init__(self, name: str, arguments: list[str], directory: Path, mark: str) -> None:
        self.name = name
        self._errors = (directory / f"{name}.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "farm", *arguments],
            cwd=directory,
            env=_environment(directory, mark),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,  # Ctrl-C is for whoever does the harm
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def port(self) -> int:
        """Where a server says that it listens; waits for it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BrokenError(f"{self.name} did not start")
        return int(json.loads(line)["port"])

    @property
    def ended(self) -> int | None:
        """Its exit code, if it has ended."""
        return self.process.poll()

    @property
    def came_too_early(self) -> bool:
        """Whether it has ended before it joined, as there was no server just then."""
        assert self.process.stdout is not None
        return self.ended in NO_SERVER and not self.process.stdout.readline()

    def send(self, number: int) -> None:
        """Send a signal; from any thread, as it is waited for in `end` alone."""
        os.kill(self.pid, number)

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        if self.process.poll() is None:
            self.send(number)
        try:
            self.process.wait(LEAVE_SECONDS)
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()
            self._errors.close()


def _environment(home: Path, mark: str) -> dict[str, str]:
    """As a new user has it, with a mark that all children inherit."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FARM_", "XDG_", "PYTHON"))
    }
    return {**kept, "HOME": str(home), MARK: mark}


class Farm:
    """A server and its nodes, each behind a proxy.

    Args:
        directory: for the key, the journal and the logs.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.key = secrets.token_hex(16)
        self._key_file = directory / "authkey"
        self._key_file.touch(0o600)
        self._key_file.write_text(self.key)
        self._mark = secrets.token_hex(16)
        self._proxies = Proxies()
        self.client = self._proxies.open()
        self.desk = self._proxies.open()
        self._early = 0
        self.nodes: dict[str, Command] = {}
        self.fronts: dict[str, Proxy] = {name: self._proxies.open() for name in NODES}
        self.server = self._serve(0)
        self.port = self.server.port()
        for proxy in (self.client, self.desk, *self.fronts.values()):
            proxy.target = self.port

    def _serve(self, port: int) -> Command:
        line = ["serve", "--port", str(port), "--data", str(self.data), "--json"]
        line += ["--authkey-file", str(self._key_file)]
        return Command("server", line, self.directory, self._mark)

    def serve_again(self) -> None:
        """Kill the server, if it is not dead yet, and start it again as it was."""
        self.server.end()
        self.server = self._serve(self.port)

    def start_node(self, name: str) -> None:
        """A node of that name; an earlier one is killed first."""
        if name in self.nodes:
            self.nodes[name].end()
        line = ["worker", "--name", name, "--processes", str(SLOTS), "--grace", "1", "--json"]
        line += ["--host", f"{HOST}:{self.fronts[name].port}"]
        line += ["--authkey-file", str(self._key_file)]
        self.nodes[name] = Command(f"node-{name}", line, self.directory, self._mark)

    def session(self, proxy: Proxy | None = None) -> Session:
        """A client's session, through a proxy or straight."""
        port = self.port if proxy is None else proxy.port
        return farm.connect(f"{HOST}:{port}", self.key.encode())

    def check(self) -> None:
        """That no process has ended by itself.

        A node that came while the server was away is started again, as whoever looks after it
        would do; one that had joined must outlive the server.

        Raises:
            BrokenError: one has.
        """
        for name, node in list(self.nodes.items()):
            if self._early < MAX_EARLY and node.came_too_early:
                self._early += 1
                self.start_node(name)
        for command in (self.server, *self.nodes.values()):
            if command.ended is not None:
                raise BrokenError(f"{command.name} has ended by itself with {command.ended}")

    def stop(self) -> None:
        """Tell nodes and server to stop, as a person would.

        Raises:
            BrokenError: one does not.
        """
        for pid in self.marked():
            signal_to(pid, signal.SIGCONT)
        for command in (*self.nodes.values(), self.server):
            try:
                command.end(signal.SIGTERM)
            except subprocess.TimeoutExpired as error:
                raise BrokenError(f"{command.name} does not stop") from error

    def marked(self) -> set[int]:
        """What runs of all that was started."""
        return {pid for pid, environ in _environments() if self._mark.encode() in environ}

    def left(self) -> set[int]:
        """What still runs some time after everything was stopped."""
        deadline = time.monotonic() + LEAVE_SECONDS
        while (found := self.marked()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def close(self) -> None:
        """End everything, whatever state it is in."""
        for pid in self.marked():
            signal_to(pid, signal.SIGKILL)
        for command in (self.server, *self.nodes.values()):
            command.end()
        self._proxies.close()


def signal_to(pid: int, number: int) -> bool:
    """Send a signal; False if there is no such process any more."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _environments() -> list[tuple[int, bytes]]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            found.append((int(entry.name), (entry / "environ").read_bytes()))
        except OSError:
            continue  # it has ended meanwhile, or belongs to somebody else
    return found


def below(pid: int) -> set[int]:
    """The processes that descend from ``pid`` (proc(5), stat: the parent comes after the name)."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
        parents.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found.update(children)
        waiting.extend(children)
    return found
