"""The second thread of a slot: it reads what the owner sends, and flushes what has finished."""

from __future__ import annotations

import functools
import os
import queue
import selectors
import socket
import time
import traceback
from collections import deque
from dataclasses import dataclass, field

from farm.engines.exits import NO_MEMORY
from farm.engines.invoke import Invocation, Items
from farm.engines.isolation import kill_own_group
from farm.engines.memory import MemoryLimit
from farm.engines.messages import (
    Drop,
    Forget,
    Leave,
    Run,
    ToSlot,
    UseBlock,
    UseProgram,
    decode_to_slot,
)
from farm.engines.pipe import SlotPipe
from farm.engines.report import FLUSH_SECONDS, Report
from farm.engines.resolve import CoroutineRunner

_BROKEN = 70  # EX_SOFTWARE of sysexits.h

# Not epoll, which has a descriptor of its own that a task could close by accident.
_Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)


@dataclass(slots=True)
class Job:
    """A chunk with all that it needs."""

    run: Run
    program: Invocation
    items: Items | None
    _unclaimed: list[None] = field(default_factory=lambda: [None])

    def claim(self) -> bool:
        """Take the job, to run it or to drop it; True for whoever comes first."""
        try:
            self._unclaimed.pop()  # atomic, so that the two threads need no lock
        except IndexError:
            return False
        return True


class Porter:
    """The second thread: reads what the owner sends, flushes what has been finished for long.

    The owner's end of the pipe is open as long as the owner lives. When it closes, the slot
    kills its whole process group, itself included: nothing outlives a node.

    Args:
        link: the slot's end.
        report: what it flushes.
        limit: what tasks may allocate; what the owner sends is not theirs.
    """

    def __init__(self, link: socket.socket, report: Report, limit: MemoryLimit) -> None:
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._link = link
        self._report = report
        self._limit = limit
        self._runner = CoroutineRunner()
        self._programs: dict[int, Invocation] = {}
        self._items: Items | None = None
        self._open: deque[Job] = deque()

    def over(self) -> None:
        """The first thread is done with the oldest job."""
        self._open.popleft()

    def serve(self) -> None:
        """Never returns: the slot ends with its first thread, or here."""
        try:
            self._limit.measure()
            self._serve()
        except MemoryError:
            os._exit(NO_MEMORY)
        except (OSError, EOFError):
            kill_own_group()
        except BaseException:
            traceback.print_exc()
            os._exit(_BROKEN)

    def _serve(self) -> None:
        pipe = SlotPipe(self._link)
        with _Selector() as selector:
            selector.register(self._link, selectors.EVENT_READ)
            due = 0.0
            while True:
                busy = bool(self._open)
                wait = max(0.0, due - time.monotonic()) if busy else None
                if self._limit.insist(functools.partial(selector.select, wait)):
                    with self._limit.eased:
                        for frame in pipe.receive():
                            self._take(decode_to_slot(frame))
                now = time.monotonic()
                if not busy or now >= due:
                    due = now + FLUSH_SECONDS
                    if busy:
                        self._report.flush()

    def _take(self, message: ToSlot) -> None:
        match message:
            case Run():
                job = Job(message, self._programs[message.batch], self._items)
                self._open.append(job)
                self.jobs.put(job)
            case UseProgram():
                self._programs[message.batch] = Invocation(message, self._runner)
            case UseBlock():
                self._items = Items(message.start, message.payload)
            case Forget():
                del self._programs[message.batch]
            case Drop():
                for job in [job for job in self._open if job.run.chunk == message.chunk]:
                    if job.claim():
                        self._open.remove(job)
                        self._report.drop(message.chunk)
            case Leave():
                self.jobs.put(None)
