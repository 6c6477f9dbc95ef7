"""The real `farm serve` as a process: its memory, its log, and the batch that it does after."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import IO, Any

import farm
from farm.client.session import Session
from farm.errors import FarmError, RequestError
from farm.wire.messages import Cancel
from fuzz.frames import ROLES
from fuzz.talk import HOST

ROOT = Path(farm.__file__).parents[1]
PRIMES = 148_933
"""Below two million (OEIS A006880 has those of the powers of ten around it)."""

START_SECONDS = 60.0
STOP_SECONDS = 20.0
BATCH_SECONDS = 60.0

_BAD = re.compile(r"Traceback|ERROR|CRITICAL|could not be served|Fatal error|never retrieved")
"""What a log says of a server that did not expect what has come."""


class Process:
    """A Python process of the run, which reads its input until it is to end.

    Args:
        directory: where it works, and its errors go.
        name: of the file that they go to.
        line: after ``python -m``.
    """

    def __init__(self, directory: Path, name: str, *line: object) -> None:
        self.name = name
        self.errors = directory / f"{name}.log"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *map(str, line)],
                cwd=directory,
                env=_environment(directory),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def line(self, seconds: float = START_SECONDS) -> str:
        """The next line that it prints; waits for it, and kills it if it takes too long.

        Raises:
            RuntimeError: it has ended instead.
        """
        timer = threading.Timer(seconds, self.process.kill)
        timer.start()
        try:
            line = self._out.readline()
        finally:
            timer.cancel()
        if not line:
            code = self.process.wait(STOP_SECONDS)
            raise RuntimeError(f"{self.name} has ended with {code}: {self.errors.read_text()}")
        return line

    def end(self) -> Any:
        """End its input, and take the document that it prints then."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        document = json.loads(self.line(STOP_SECONDS))
        self.process.wait(STOP_SECONDS)
        return document

    def terminate(self) -> int | None:
        """Send SIGTERM; its exit code, None if it does not end."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it in any case."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    @property
    def _out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout


def _environment(home: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FARM_", "XDG_", "PYTHON"))
    }
    return {**kept, "HOME": str(home), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


class Server(Process):
    """The server, with a key for each role.

    Args:
        directory: an empty one.
        options: of `farm serve`.
    """

    def __init__(self, directory: Path, *options: object) -> None:
        self.directory = directory
        self.key_file = directory / "authkey"
        for role in ROLES:
            name = self.key_file if role == ROLES[0] else Path(f"{self.key_file}.{role}")
            name.touch(0o600)
            name.write_text(secrets.token_hex(32))
        super().__init__(
            directory, "server", "farm", "serve", "--port", 0, "--json",
            "--data", directory / "data",
            *(options or ("--authkey-file", self.key_file)),
        )  # fmt: skip
        self.port = int(json.loads(self.line())["port"])

    def memory(self, what: str = "VmRSS") -> int:
        """Bytes of resident memory now, or at most so far (``VmHWM``); see proc(5).

        Raises:
            RuntimeError: the server has ended.
        """
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            status = ""
        found = re.search(rf"{what}:\s+(\d+) kB", status)
        if found is None:
            raise RuntimeError("the server has ended")
        return int(found[1]) * 1024

    def session(self) -> Session:
        """A client's session."""
        return farm.connect(f"{HOST}:{self.port}", self.key_file.read_bytes().strip())

    def complaints(self) -> list[str]:
        """What its log says that it should not: each kind of it once, with how often it came."""
        lines = self.errors.read_text(errors="replace").splitlines()
        found: Counter[str] = Counter()
        for number, line in enumerate(lines):
            if not _BAD.search(line):
                continue
            if line.startswith("Traceback"):
                # The error is the first line after it that is not indented.
                rest = (after for after in lines[number + 1 :] if not after.startswith(" "))
                line = next(rest, line)
            found[re.sub(r"127\.0\.0\.1:\d+|^[-\d]+ [\d:,]+ ", "", line)] += 1
        return [f"the server's log, {count} times: {line}" for line, count in found.most_common(20)]


def batch_problems(server: Server) -> list[str]:
    """Whether a real batch with a real node still comes out right."""
    with server.session() as session:
        _clear_away(session)
        node = Process(
            server.directory, "node", "farm", "worker", "--host", f"{HOST}:{server.port}",
            "--authkey-file", server.key_file, "--processes", 2, "--json",
        )  # fmt: skip
        try:
            node.line()
            batch = session.submit(
                ROOT / "configs" / "batches" / "primes.yaml",
                overrides=["params.matrix.kind=all", "params.exclude="],
                priority=1000,
            )
            found = sum(batch.results(BATCH_SECONDS))
            code = node.terminate()
        except FarmError as error:
            return [f"a batch after the run has failed: {error}"]
        finally:
            node.kill()
    problems = [] if found == PRIMES else [f"a batch after the run has {found}, not {PRIMES}"]
    return problems if code == 0 else [*problems, f"the node ended with {code}"]


def _clear_away(session: Session) -> None:
    """Nothing that was made up is to be run."""
    asked = [
        session.link.ask(Cancel(str(status.batch)))
        for status in session.batches(10_000)
        if not status.over
    ]
    for reply in asked:
        # The queue of plain clients cannot be cancelled; what was put there does nothing.
        with contextlib.suppress(RequestError):
            reply.result(BATCH_SECONDS)
