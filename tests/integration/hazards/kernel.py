"""What the kernel says of a process and of its TCP connections (proc(5)), whatever it runs."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from farm_harness import eventually

MIB = 1024 * 1024
ESTABLISHED, CONNECTING = "01", "02"
NO_TIMER, RESENDING, KEEPALIVE = "00", "01", "02"
SHORT = 0.2
"""Seconds in which the kernel completes any connection that it will not leave waiting."""


@dataclass(frozen=True)
class Tcp:
    """A line of /proc/net/tcp: ports, state, which timer runs, and the socket's inode."""

    local: int
    remote: int
    state: str
    timer: str
    inode: int


def connections(pid: int) -> list[Tcp]:
    """The TCP sockets over IPv4 that a process holds."""
    held = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            target = entry.readlink().name
            if target.startswith("socket:["):
                held.add(int(target[8:-1]))
    return [line for line in _tcp_lines() if line.inode in held]


def _tcp_lines() -> Iterator[Tcp]:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        local, remote = (int(word.partition(":")[2], 16) for word in words[1:3])
        yield Tcp(local, remote, words[3], words[5].partition(":")[0], int(words[9]))


def other_end(pid: int, port: int) -> Tcp | None:
    """What a process holds of the connection whose end here has ``port``, None for nothing."""
    return next((line for line in connections(pid) if line.remote == port), None)


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    """How many threads a process has."""
    return int(_status(pid, "Threads"))


def memory(pid: int, kind: str) -> int:
    """Bytes of a process: VmSize and VmRSS are those of now, VmPeak and VmHWM the most ever."""
    return int(_status(pid, kind).split()[0]) * 1024


def _status(pid: int, name: str) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    raise KeyError(name)


def cpu_ticks(pid: int) -> int:
    """Processor time that a process has used, in clock ticks."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


def has_taken_signals(pid: int) -> bool:
    """Whether a process has dealt with what it was sent, and sleeps again."""
    pending = any(int(_status(pid, kind), 16) for kind in ("SigPnd", "ShdPnd"))
    return not pending and _status(pid, "State").startswith("S")


def _states(pid: int) -> set[str]:
    """Those of all threads of a process: ``T`` for one that is stopped."""
    lines = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return {line.rpartition(")")[2].split()[0] for line in lines}


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process for a while; the kernel goes on for it."""
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: _states(pid) == {"T"}, "each of its threads stops")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def knock(port: int) -> socket.socket:
    """Begin to connect, without waiting for it."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", port))
    return sock


def is_connected(sock: socket.socket) -> bool:
    """Whether the kernel has completed a connection, or does so soon."""
    _, writable, _ = select.select([], [sock], [], SHORT)
    return bool(writable)
