"""What a slot has to say about the chunk it runs: results collected, packed and sent in order.

The thread that runs tasks only appends to two lists; this is where the second thread may take
from them at the same time. A list's ``append`` and its slices are atomic, so the thread that
runs tasks needs no lock for each task.
"""

from __future__ import annotations

import os
import socket
import threading
from array import array
from typing import Any

from farm.engines.messages import Done, Failure, Finished, encode
from farm.engines.packing import Dump, dump_plain, pack
from farm.engines.pipe import frame

FLUSH_SECONDS = 0.04
"""Finished tasks are sent after this time; what the threads of a slot owe one another comes on
top, and together they keep below 50 ms."""

FLUSH_BYTES = 256 << 10
"""Messages are sent when they are this large together, however young they are."""

_MAX_GROUP = 1 << 16
_GROWTH = 8


class Report:
    """The outgoing side of a slot.

    Args:
        link: the slot's end of its pipe.
    """

    def __init__(self, link: socket.socket) -> None:
        self.results: list[Any] = []
        """Results of finished tasks; `seconds` is appended to after it."""
        self.seconds: list[float] = []
        self._link = link
        self._packing = threading.Lock()
        self._sending = threading.Lock()
        self._process = os.getpid()
        self._dump: Dump = dump_plain
        self._next = 0
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._batch = -1
        self._group = 1
        self._task_bytes = 0.0

    @property
    def position(self) -> int:
        """The index after the last task that finished or failed."""
        return self._next + len(self.seconds)

    def begin(self, batch: int, start: int, dump: Dump) -> None:
        """A chunk begins; nothing of another is pending."""
        with self._packing:
            self._next = start
            self._dump = dump
            if batch != self._batch:
                self._batch, self._group = batch, 1

    def group(self) -> int:
        """How many tasks to run before the next `pack`.

        So many that about `FLUSH_BYTES` are pending then, judged by the results packed last: the
        size of each result is not looked at. A batch begins with one task, as nothing is known.
        """
        size = self._group
        by_bytes = int(FLUSH_BYTES / max(self._task_bytes, 1.0))
        self._group = max(1, min(by_bytes, size * _GROWTH, _MAX_GROUP))
        return size

    def fail(self, failure: Failure) -> None:
        """Add a failure behind the results of the tasks before it, and send if there is enough."""
        with self._packing:
            self._pack()
            self._add(failure)
            self._next = failure.stop
        self.send_enough()

    def pack(self) -> None:
        """Pickle what is pending. Only this is part of the tasks' time: it may hang as they may.

        It never waits for the owner to read, which is why packing and sending have a lock each.
        """
        with self._packing:
            self._pack()

    def send_enough(self) -> None:
        """Send if `FLUSH_BYTES` have come together."""
        if self._outbox_bytes >= FLUSH_BYTES:
            with self._sending:
                self._send()

    def flush(self) -> None:
        """Pack and send what is pending, unless something is being sent at this moment.

        Called by the second thread, which must not wait for the owner to read.
        """
        if self._sending.acquire(blocking=False):
            try:
                self.pack()
                self._send()
            finally:
                self._sending.release()

    def finish(self, chunk: int) -> None:
        """Send everything and the end of the chunk."""
        with self._sending:
            with self._packing:
                self._pack()
                self._outbox.append(frame(encode(Finished(chunk))))
            self._send()

    def drop(self, chunk: int) -> None:
        """Send that a chunk will not begin; called by the second thread."""
        with self._packing:
            self._outbox.append(frame(encode(Finished(chunk))))
        self.flush()

    def _pack(self) -> None:
        count = len(self.seconds)
        if not count:
            return
        self._leave_if_forked()
        values, seconds = self.results[:count], array("f", self.seconds[:count])
        start, self._next = self._next, self._next + count
        del self.results[:count], self.seconds[:count]
        size = 0
        for message in pack(values, seconds, start, self._dump):
            self._add(message)
            size += len(message.payload) if isinstance(message, Done) else 0
        self._task_bytes = size / count

    def _add(self, message: Done | Failure) -> None:
        data = frame(encode(message))
        self._outbox.append(data)
        self._outbox_bytes += len(data)

    def _send(self) -> None:
        """Called with `_sending` held, which keeps the order of what was taken."""
        self._leave_if_forked()
        with self._packing:
            messages, size = self._outbox, self._outbox_bytes
            self._outbox, self._outbox_bytes = [], 0
        for data in messages if size > FLUSH_BYTES else [b"".join(messages)]:
            self._link.sendall(data)

    def _leave_if_forked(self) -> None:
        """A task that forks and returns twice must not report twice."""
        if os.getpid() != self._process:
            os._exit(1)
