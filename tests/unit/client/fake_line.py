"""Channels whose other end is the test, and a network that has only such."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from farm_harness import eventually

from farm.errors import FarmError
from farm.wire import codec


class Line:
    """A channel whose other end is the test."""

    def __init__(self, largest: int = 1 << 20) -> None:
        self.largest = largest
        self.asked: list[tuple[int, Any]] = []
        self.closed = False
        self.lent = False
        """Whether what was read is still being looked at."""
        self._frames: deque[bytes] = deque()
        self._news = threading.Condition()

    def say(self, number: int, body: Any) -> None:
        """The server answers."""
        with self._news:
            self._frames.append(codec.encode(number, body))
            self._news.notify_all()

    def numbers(self, count: int) -> list[int]:
        """The numbers of the requests, once there are so many."""
        eventually(lambda: len(self.asked) >= count, f"{count} requests")
        return [number for number, _ in self.asked]

    # -- farm.wire.channel.Channel ------------------------------------------------------------

    def write(self, *pieces: bytes) -> None:
        if self.closed:
            raise OSError("closed")
        self.asked.append(codec.decode_request(b"".join(pieces)))

    def has_room(self, _size: int) -> bool:
        return True

    def flush(self) -> bool:
        return True

    def drain(self) -> None:
        """All is sent."""

    def wait(self, seconds: float, **_: bool) -> bool:
        with self._news:
            return self._news.wait_for(lambda: self._frames or self.closed, seconds)

    def read(self) -> list[bytes]:
        with self._news:
            if self.closed and not self._frames:
                raise EOFError("the server has closed the connection")
            found, self._frames = list(self._frames), deque()
            self.lent = True
        return found

    def recycle(self) -> None:
        self.lent = False

    def close(self) -> None:
        with self._news:
            self.closed = True
            self._news.notify_all()


class Network:
    """What `connect` finds, one after another: lines, or errors."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.next: deque[Any] = deque()
        self.make: Callable[[], Line] = Line

    def connect(self, *_: Any) -> Any:
        found = self.next.popleft() if self.next else self.make()
        if isinstance(found, FarmError):
            raise found
        self.lines.append(found)
        return found
