"""The output of a command, read while it runs and bounded: the head and the tail are kept."""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
from typing import IO

MAX_OUTPUT = 16 << 20
"""Bytes kept of each stream."""

_READ_SIZE = 64 << 10
_LOOK_SECONDS = 0.05


class Capture:
    """Bytes with a bound: the first and the last half of it are kept, the cut is marked.

    Args:
        limit: bytes that are kept.
    """

    def __init__(self, limit: int = MAX_OUTPUT) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._cut = 0

    def write(self, data: bytes) -> None:
        """Add bytes at the end."""
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._half:
            self._trim()

    def text(self) -> str:
        """What was kept; bytes that are not UTF-8 become U+FFFD."""
        self._trim()
        head = self._head.decode("utf-8", "replace")
        tail = self._tail.decode("utf-8", "replace")
        mark = f"\n[... {self._cut} bytes cut ...]\n" if self._cut else ""
        return head + mark + tail if mark else (self._head + self._tail).decode("utf-8", "replace")

    def _trim(self) -> None:
        excess = len(self._tail) - self._half
        if excess > 0:
            del self._tail[:excess]
            self._cut += excess


def capture(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Read both streams until the command has exited, and reap it.

    Something it left in the background may hold the streams open: that is not waited for, and
    what it writes later is lost.

    Returns:
        stdout and stderr.
    """
    if process.stdout is None or process.stderr is None:
        raise ValueError("the command was started without pipes for its output")
    streams = {process.stdout: Capture(), process.stderr: Capture()}
    if os.name == "posix":
        _read_ready(process, streams)
    else:
        _read_threads(process, streams)
    process.wait()
    return streams[process.stdout].text(), streams[process.stderr].text()


def _read_ready(process: subprocess.Popen[bytes], streams: dict[IO[bytes], Capture]) -> None:
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            exited = process.poll() is not None
            ready = selector.select(0 if exited else _LOOK_SECONDS)
            for key, _ in ready:
                data = os.read(key.fd, _READ_SIZE)
                streams[key.fileobj].write(data)  # type: ignore[index]
                if not data:
                    selector.unregister(key.fileobj)
            if exited and not ready:
                break
    for stream in streams:
        stream.close()


def _read_threads(process: subprocess.Popen[bytes], streams: dict[IO[bytes], Capture]) -> None:
    """Where only sockets can be selected on."""

    def read(stream: IO[bytes], kept: Capture) -> None:
        while data := os.read(stream.fileno(), _READ_SIZE):
            kept.write(data)

    threads = [threading.Thread(target=read, args=each, daemon=True) for each in streams.items()]
    for thread in threads:
        thread.start()
    process.wait()
    for thread in threads:
        thread.join(_LOOK_SECONDS)
