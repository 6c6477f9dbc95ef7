"""What a slot has to say about the chunk it runs: results collected, packed and sent in order.

The thread that runs tasks appends each result to a list and then writes what the task took; this is
where the second thread may take both at the same time. Each of these steps is atomic, so the thread
that runs tasks needs no lock for each task.
"""

from __future__ import annotations

import os
import socket
import threading
from array import array
from typing import Any

from farm.engines.ending import end_slot
from farm.engines.memory import MemoryLimit
from farm.engines.messages import Cut, Done, Failure, Finished, Spent, encode, encode_pieces
from farm.engines.packing import Dump, dump_plain, pack
from farm.engines.pipe import parts, send_all
from farm.engines.progress import MAX_GROUP, Progress

FLUSH_SECONDS = 0.04
"""Finished tasks are sent after this time; what the threads of a slot owe one another comes on
top, and together they keep below 50 ms."""

FLUSH_BYTES = 256 << 10
"""Messages are sent when they are this large together, however young they are."""

_GROWTH = 8


class Report:
    """The outgoing side of a slot; the thread that makes it is the one that runs tasks.

    Args:
        link: the slot's end of its pipe.
        limit: what the tasks may allocate; a result whose pickle is beyond it is a failure.
        shown: where what each task took is written, after its result was added.
    """

    def __init__(self, link: socket.socket, limit: MemoryLimit, shown: Progress) -> None:
        self.results: list[Any] = []
        """Results of tasks that are done."""
        self._shown = shown
        self._taken = 0  # tasks of the group that are packed, or have failed
        self._link = link
        self._limit = limit
        self._packing = threading.Lock()
        self._sending = threading.Lock()
        self._process = os.getpid()
        self._first = threading.get_ident()
        self._dump: Dump = dump_plain
        self._next = 0
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._urgent = False  # the outbox has what is not to wait for the next that is sent
        self._batch = -1
        self._group = 0
        self._task_bytes = 0.0
        self._careful = False

    @property
    def position(self) -> int:
        """The index after the last task that finished or failed."""
        with self._packing:
            return self._next + len(self.results)

    def begin(self, batch: int, start: int, dump: Dump, *, careful: bool = False) -> None:
        """A chunk begins; nothing of another is pending, or would be taken for its own.

        Args:
            batch: whose tasks they are.
            start: the first one.
            dump: pickles their results.
            careful: each is to be sent before the next one begins.
        """
        self._careful = careful
        with self._packing:
            self.results.clear()
            self._next = start
            self._dump = dump
            self._open(1)
            if batch != self._batch:
                self._batch, self._group = batch, 0

    def open_group(self, stop: int) -> int:
        """Begin with the tasks to run before the next `pack`, none beyond ``stop``; where they end.

        So many that about `FLUSH_BYTES` are pending then, judged by the results packed last: the
        size of each result is not looked at. A batch begins with one task, as nothing is known.
        """
        by_bytes = int(FLUSH_BYTES / max(self._task_bytes, 1.0))
        self._group = max(1, min(by_bytes, self._group * _GROWTH, MAX_GROUP))
        with self._packing:
            return self._open(1 if self._careful else min(self._group, stop - self._next))

    def _open(self, count: int) -> int:
        """What was run before is packed: its places can be used again."""
        self._taken = 0
        self._shown.begin(self._next, count)
        return self._next + count

    def fail(self, failure: Failure) -> None:
        """Add a failure behind the results of the tasks before it, and send if there is enough."""
        with self._packing:
            self._pack()
            self._add([failure], failure.stop)
            self._taken += 1
        self.send_enough()

    def pack(self) -> None:
        """Pickle what is pending. Only this is part of the tasks' time: it may hang as they may.

        It never waits for the owner to read, which is why packing and sending have a lock each.
        """
        with self._packing:
            self._pack()

    def send_enough(self) -> None:
        """Send if `FLUSH_BYTES` have come together, however long that takes; or carefully, all."""
        if self._outbox_bytes >= FLUSH_BYTES or self._careful:
            self._send_all()

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
        self._hurry()

    def finish(self, message: Finished | Spent) -> None:
        """Send everything, and that this was the end of the chunk or of the slot."""
        with self._packing:
            self._pack()
            self._outbox += parts(encode(message))
        self._send_all()

    def drop(self, chunk: int) -> None:
        """Have it sent that a chunk will not begin: now, or by the thread that sends just now.

        It is added before this thread tries for the right to send, and whoever sends looks for it
        after giving that right up: one of them sees it, and neither waits for the other.
        """
        with self._packing:
            self._outbox += parts(encode(Finished(chunk)))
            self._urgent = True
        self._hurry()

    def cut(self, chunk: int, stop: int) -> None:
        """Have it sent that no further task of the chunk begins, if there are any before ``stop``.

        Called when none can any more. Whether the next one runs is not known here: it is the
        chunk's as long as that has not ended.
        """
        with self._packing:
            end = self._next + len(self.results) + 1
            if end < stop:
                self._outbox += parts(encode(Cut(chunk, end)))
                self._urgent = True
        self._hurry()

    def _pack(self) -> None:
        count = self._count()
        if not count:
            return
        self._leave_if_forked()
        messages = self._limit.insist(lambda: self._packed(count))
        size = self._add(messages, self._next + count, count)
        self._taken += count
        self._task_bytes = size / count

    def _count(self) -> int:
        """How many results there are whose time is known."""
        count = len(self.results)
        last = self._taken + count - 1
        if count and self._shown.seconds[last] < 0.0:
            if threading.get_ident() != self._first:
                return count - 1  # the first thread is between the two steps
            # An exception that a signal handler raised, or another thread, came between them.
            self._shown.seconds[last] = 0.0
        return count

    def _packed(self, count: int) -> list[Done | Failure]:
        """The first results, pickled; it changes nothing, so that it can be repeated."""
        seconds = array("f", self._shown.seconds[self._taken : self._taken + count].tobytes())
        return list(pack(self.results[:count], seconds, self._next, self._dump, self._limit))

    def _add(self, messages: list[Done | Failure], position: int, count: int = 0) -> int:
        """Put into the outbox what reports the tasks up to ``position``.

        Args:
            messages: what is sent.
            position: one past the last task in them.
            count: how many results they replace.

        Returns:
            Their size, bytes.
        """
        # An allocation that fails halfway would lose results or repeat them, and one that fails
        # in msgspec's encoder ends the process (SIGSEGV, msgspec 0.22).
        with self._limit.eased:
            frames = [part for message in messages for part in parts(*encode_pieces(message))]
            size = sum(map(len, frames))
            self._outbox += frames
            self._outbox_bytes += size
            self._next = position
            del self.results[:count]
        return size

    def _send_all(self) -> None:
        """Send what is packed, and what `drop` added meanwhile; the first thread may wait for that.

        By `with`, which no exception of a signal handler leaves with the lock taken.
        """
        with self._sending:
            self._send()
        while self._urgent:
            with self._sending:
                self._send()

    def _hurry(self) -> None:
        """Send what `drop` added, unless the other thread sends, which looks for it afterwards."""
        while self._urgent and self._sending.acquire(blocking=False):
            try:
                self._send()
            finally:
                self._sending.release()

    def _send(self) -> None:
        """Called with `_sending` held, which keeps the order of what was taken.

        A failure halfway ends the slot, as what was taken is in no other place: after half of a
        message the owner would take all that follows for the rest of it.
        """
        self._leave_if_forked()
        messages: list[bytes] = []
        try:
            with self._packing:
                messages, size = self._outbox, self._outbox_bytes
                self._outbox, self._outbox_bytes, self._urgent = [], 0, False
            if not messages:
                return
            if size <= FLUSH_BYTES:
                data = self._limit.insist(lambda: b"".join(messages))
                send_all(self._link, data)
            else:
                for data in messages:
                    send_all(self._link, data)
        except BaseException as error:
            if not messages:
                raise
            end_slot(error)

    def _leave_if_forked(self) -> None:
        """A task that forks and returns twice must not report twice."""
        if os.getpid() != self._process:
            os._exit(1)
