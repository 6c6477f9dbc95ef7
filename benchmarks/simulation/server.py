"""A real ``farm serve`` for many nodes, and what it costs, from /proc."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from benchmarks.processes import stop
from farm.errors import FarmError
from farm.wire.address import Address

END_SECONDS = 30.0
"""In which a server that is told to stop has stopped."""

CONNECTIONS = 2
"""Of each node: its own, and its heartbeat's."""

SPARE = 64
"""Connections beside those of nodes."""


@dataclass(frozen=True)
class Usage:
    """What a process has used by a moment.

    Args:
        when: seconds, of `time.monotonic`.
        cpu: seconds of a core.
        memory: resident bytes.
    """

    when: float
    cpu: float
    memory: int


def usage(pid: int) -> Usage:
    """Of a process (proc(5), stat: utime and stime are the 14th and 15th; statm)."""
    process = Path(f"/proc/{pid}")
    # The name, in parentheses, may hold anything: the third field follows the last one.
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    pages = int((process / "statm").read_text().split()[1])
    cpu = ticks / os.sysconf("SC_CLK_TCK")
    return Usage(time.monotonic(), cpu, pages * os.sysconf("SC_PAGE_SIZE"))


class Server:
    """A server process with limits for so many nodes on one address; stops where it is left.

    Args:
        directory: an empty one, for its key and its journal.
        nodes: how many are to connect, all at once.

    Raises:
        FarmError: it does not start.
    """

    def __init__(self, directory: Path, nodes: int) -> None:
        self.key = secrets.token_hex(32).encode()
        key_file = directory / "key"
        key_file.touch(0o600)
        key_file.write_bytes(self.key)
        most = str(CONNECTIONS * nodes + SPARE)
        line = [sys.executable, "-m", "farm", "serve", "--port", "0", "--json"]
        line += ["--data", str(directory / "data"), "--authkey-file", str(key_file)]
        line += ["--max-per-address", most, "--max-unknown", most]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FARM_")}
        self._process = subprocess.Popen(line, env=kept, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        told = self._process.stdout.readline()
        if not told:
            raise FarmError(f"farm serve ended with {self._process.wait()}; see above for why")
        self.address = Address("127.0.0.1", int(json.loads(told)["port"]))

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def usage(self) -> Usage:
        """What it has used by now."""
        return usage(self.pid)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stop(self._process, END_SECONDS)
