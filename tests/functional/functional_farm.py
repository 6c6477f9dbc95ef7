"""What the functional tests do with ``farm``: run it, start servers and nodes, look at /proc.

Every process gets a mark in its environment, which its children inherit: whatever carries the
mark was started by the test, and nothing else is ever killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
BATCHES = ROOT / "configs" / "batches"
SECONDS = 40.0
"""The bound of every wait."""

T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float = SECONDS) -> T:
    """Wait for something true; what it is."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {condition}"
        time.sleep(0.02)


def marked_processes(mark: str) -> dict[int, str]:
    """The processes that carry a mark, with their command lines; no zombies."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"FARM_TEST_ID={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(process.name)] = line
        except OSError:
            continue  # it ended, or belongs to someone else
    return {pid: line for pid, line in found.items() if line}


@dataclass
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Started:
    """A command that runs; its first line of output is read as it comes."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.process = process
        self._errors = errors

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    @property
    def err(self) -> str:
        """What it wrote to stderr by now."""
        return self._errors.read_text(encoding="utf-8")

    def first_line(self) -> str:
        """The first line of its output; waits for it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended with {self.process.wait(SECONDS)}: {self.err}"
        return line

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def interrupt_group(self) -> None:
        """What Ctrl-C does: SIGINT to all of its process group."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self, seconds: float = SECONDS) -> Ran:
        """Wait for its end."""
        out, _ = self.process.communicate(timeout=seconds)
        return Ran(self.process.returncode, out, self.err)


class FarmCli:
    """The command line, with everything it keeps under one directory.

    Args:
        home: for keys and data.
        mark: the value of FARM_TEST_ID in the environment of all that is started.
    """

    def __init__(self, home: Path, mark: str) -> None:
        home.mkdir()
        self.home = home
        self.mark = mark
        self.address = ""
        self.interpreter = sys.executable
        """The Python that commands are run with from now on."""
        self._started: list[Started] = []

    def environment(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        """As a new user has it, apart from the mark."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FARM_", "XDG_", "COV")) and name not in ("COLUMNS", "NO_COLOR")
        }
        server = {"FARM_HOST": self.address} if self.address else {}
        own = {"HOME": str(self.home), "FARM_TEST_ID": self.mark, "PYTHONPATH": str(ROOT)}
        return {**kept, **own, **server, **(changes or {})}

    def run(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        seconds: float = SECONDS,
    ) -> Ran:
        """Run a command to its end."""
        done = subprocess.run(
            self._line(arguments),
            env=self.environment(env),
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def python(self, script: Path, env: Mapping[str, str] | None = None) -> str:
        """Run a Python script that uses the server that commands find; what it prints."""
        done = subprocess.run(
            [sys.executable, script],
            env=self.environment(env),
            cwd=self.home,
            stdout=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        return done.stdout

    def start(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Started:
        """Start a command in a process group of its own."""
        errors = self.home / f"stderr-{len(self._started)}"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                self._line(arguments),
                env=self.environment(env),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
                # A shell lets what it starts in the background ignore Ctrl-C; not this test.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        started = Started(process, errors)
        self._started.append(started)
        return started

    def _line(self, arguments: Sequence[str | Path]) -> list[str]:
        return [self.interpreter, "-m", "farm", *map(str, arguments)]

    def serve(self, *arguments: str | Path) -> Started:
        """A server on a port of its own, which the other commands then find."""
        server = self.start("serve", "--port", "0", "--json", *arguments)
        ready = json.loads(server.first_line())
        self.address = f"{ready['host']}:{ready['port']}"
        return server

    def worker(self, name: str, *arguments: str | Path, processes: int = 1) -> Started:
        """A node, once it has joined."""
        node = self.start(
            "worker", "--name", name, "--processes", str(processes), "--json", *arguments
        )
        assert json.loads(node.first_line())["name"] == name
        return node

    def batch_file(self, yaml: str, python: str = "", name: str = "batch") -> Path:
        """A batch file, and ``tasks.py`` beside it."""
        (self.home / "tasks.py").write_text(python, encoding="utf-8")
        path = self.home / f"{name}.yaml"
        path.write_text(yaml, encoding="utf-8")
        return path

    def refused_serve(self, data: Path) -> str:
        """Start a server that does not come up for its directory's sake; what it says."""
        return self.refused_serve_with("--data", data)

    def refused_serve_with(self, *arguments: str | Path) -> str:
        """Start a server that does not come up; what it says."""
        ran = self.run("serve", "--port", "0", *arguments)
        assert (ran.code, ran.out) == (2, ""), ran
        assert "Traceback" not in ran.err
        return ran.err

    def rows(self, path: Path) -> list[Any]:
        """The objects in a file of JSON lines."""
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def status(self, batch: str = "last") -> Any:
        """How a batch stands, from `farm status --json`."""
        return self.run("status", batch, "--json").json

    def processes(self) -> dict[int, str]:
        """What the test has started and its children, as far as they run."""
        return marked_processes(self.mark)

    def wait_for_no_process(self, seconds: float = 10.0) -> dict[int, str]:
        """Wait until nothing runs any more; what still does after that time."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left

    def kill(self, pid: int) -> None:
        """Kill one process of the test."""
        assert pid in self.processes()
        os.kill(pid, signal.SIGKILL)

    def stop_all(self) -> None:
        """Stop what `start` started and still runs, newest first."""
        while self._started:
            started = self._started.pop()
            _stop(started.process)
            if started.process.stdout is not None:
                started.process.stdout.close()


def _stop(process: subprocess.Popen[str]) -> None:
    """Ask twice, as a node first lets its tasks end; then kill."""
    for seconds in (2.0, 10.0):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
    process.kill()
    process.wait()
