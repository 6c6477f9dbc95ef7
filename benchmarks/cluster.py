"""The real `farm serve` and `farm worker` as processes, with a data directory of their own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.processes import stop
from farm.client.session import Session, connect

ROOT = Path(__file__).resolve().parents[1]

LEAVE_SECONDS = 10.0
"""Given to a command to stop before it is killed."""

PART = "FARM_BENCH_PART"
"""In the environment of each command, and so of all that it starts: which one it is."""


def environment(home: Path, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """As a new user has it, who can import what is in this checkout."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("FARM_BENCH_") or not name.startswith(("FARM_", "XDG_"))
    }
    return {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), **(changes or {})}


class Cluster:
    """A server and its nodes; a context manager.

    Args:
        directory: for all that they keep.
        nodes: the slots of each node.

    Example:
        >>> with Cluster(Path("/tmp/x")) as cluster, cluster.session() as session:  # doctest: +SKIP
        ...     session.submit("noop.yaml").wait()
    """

    def __init__(self, directory: Path, nodes: Sequence[int] = (2,)) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.key = secrets.token_urlsafe(32).encode()
        self.address = ""
        self.nodes: list[subprocess.Popen[str]] = []
        self._slots = nodes
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Cluster:
        try:
            self.server = self._start("server", "serve", "--port", "0", "--data", str(self.data))
            ready = _ready(self.server, "port")
            self.address = f"{ready['host']}:{ready['port']}"
            for number, slots in enumerate(self._slots):
                self.nodes.append(self._start_node(f"node-{number}", slots))
            for node in self.nodes:
                _ready(node, "name")
        except BaseException:
            self._stop()
            raise
        return self

    def _start_node(self, name: str, slots: int) -> subprocess.Popen[str]:
        where = ("--host", self.address, "--grace", "1")
        return self._start(name, "worker", "--name", name, "--processes", str(slots), *where)

    def _start(self, part: str, *arguments: str) -> subprocess.Popen[str]:
        own = {PART: part, "FARM_AUTHKEY": self.key.decode()}
        with (self.directory / f"{part}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "farm", *arguments, "--json"],
                cwd=self.directory,
                env=environment(self.directory, own),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._started.append(process)
        return process

    def session(self) -> Session:
        """A session with the server."""
        return connect(self.address, self.key)

    def megabytes_kept(self) -> float:
        """What the data directory holds by now."""
        held = 0
        for file in self.data.iterdir():
            with contextlib.suppress(FileNotFoundError):  # the server has replaced it meanwhile
                held += file.stat().st_size if file.is_file() else 0
        return held / 1e6

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        """Nodes first, so that none of them looks for its server."""
        while self._started:
            stop(self._started.pop(), LEAVE_SECONDS)


def _ready(process: subprocess.Popen[str], key: str) -> dict[str, Any]:
    """What a command says as soon as it is ready; anything else is an error that it prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    said: dict[str, Any] = json.loads(line or "{}")
    if key not in said:
        raise RuntimeError(f"it did not start: {line or 'nothing was said'}")
    return said


def write_batch(directory: Path, yaml: str) -> Path:
    """A batch file, with ``tasks.py`` beside it."""
    source = (ROOT / "benchmarks" / "tasks.py").read_text(encoding="utf-8")
    (directory / "tasks.py").write_text(source, encoding="utf-8")
    path = directory / "batch.yaml"
    path.write_text(yaml, encoding="utf-8")
    return path
