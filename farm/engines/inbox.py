"""What the owner sends to a slot, read by one of its two threads at a time.

The first thread reads while it has nothing to run, so that a task begins without a switch of
threads. While it runs one for long, the second thread reads (`farm.engines.porter`).
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from farm.engines.invoke import Invocation, Items
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
from farm.engines.report import Report
from farm.engines.resolve import CoroutineRunner


# Compared by identity: two threads have the jobs, and a comparison that runs Python code inside of
# a deque's method may find the deque changed.
@dataclass(slots=True, eq=False)
class Job:
    """A chunk with all that it needs."""

    run: Run
    program: Invocation
    items: Items | None
    cut: bool = False
    """Whether no further task of it is to begin."""
    _unclaimed: list[None] = field(default_factory=lambda: [None])
    _places: list[int] | None = None  # of the tasks in their group

    def claim(self) -> bool:
        """Take the job, to run it or to drop it; True for whoever comes first."""
        try:
            self._unclaimed.pop()  # atomic, so that the two threads need no lock
        except IndexError:
            return False
        return True

    def places(self, count: int) -> list[int]:
        """The places of the next tasks, which run as long as there are any."""
        self._places = list(range(count))
        if self.cut:  # looked at after they were made, as `end_early` looks at them after it is set
            self._places.clear()
        return self._places

    def end_early(self) -> bool:
        """Have no further task of it begin; False if none has yet. By the thread that runs none."""
        self.cut = True
        places = self._places
        if places is None:
            return False
        places.clear()  # whoever runs them sees that, and pays nothing for it
        return True


class _Note(Enum):
    """What is in the queue beside jobs."""

    LEAVE = "the owner wants the slot to exit"
    LOOK = "the second thread reads no more"


class Inbox:
    """The jobs of a slot, and what they need.

    The owner's end of the pipe is open as long as the owner lives.

    Args:
        link: the slot's end.
        report: says that a chunk was dropped.
    """

    def __init__(self, link: socket.socket, report: Report) -> None:
        self.began = 0.0
        """When the newest job that was begun did (`time.monotonic`)."""
        self._pipe = SlotPipe(link)
        self._report = report
        self._reading = threading.Lock()
        self._jobs: queue.SimpleQueue[Job | _Note] = queue.SimpleQueue()
        self._open: deque[Job] = deque()
        self._runner = CoroutineRunner()
        self._programs: dict[int, Invocation] = {}
        self._items: Items | None = None
        self._asleep: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._sleeps = False  # the second thread, until there is a job

    # -- the first thread ---------------------------------------------------------------------

    def next(self) -> Job | None:
        """The next job that has not been dropped, however long that takes; None to leave.

        Raises:
            OwnerGone: the owner is gone.
            PipeTaken: a task has taken the pipe away.
        """
        while True:
            if self._jobs.empty() and self._reading.acquire(blocking=False):
                try:
                    if self._jobs.empty():  # the other thread may have put one there meanwhile
                        self.read()
                finally:
                    self._reading.release()
                continue
            job = self._jobs.get()
            if isinstance(job, Job):
                if job.claim():
                    self._begin()
                    return job
            elif job is _Note.LEAVE:
                return None

    def _begin(self) -> None:
        self.began = time.monotonic()
        if self._sleeps:
            self._sleeps = False
            self._asleep.put(None)

    def over(self) -> None:
        """The first thread is done with the oldest job."""
        self._open.popleft()

    # -- the second thread --------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether there is a job that is not over."""
        return bool(self._open)

    def sleep(self) -> None:
        """Wait until there is a job."""
        self._sleeps = True
        if not self.busy:  # else the first thread may have looked before
            self._asleep.get()
        self._sleeps = False

    def take_over(self) -> bool:
        """Have the first thread read no more; False if it does at the moment, having no job."""
        return self._reading.acquire(blocking=False)

    def hand_back(self) -> None:
        """Have it read again when it has nothing to run."""
        self._reading.release()
        self._jobs.put(_Note.LOOK)

    # -- whoever reads ------------------------------------------------------------------------

    def read(self) -> None:
        """Take what the owner has sent, or sends next; half of a message is kept for later.

        Raises:
            OwnerGone: the owner is gone.
            PipeTaken: a task has taken the pipe away.
        """
        for frame in self._pipe.receive():
            self._take(decode_to_slot(frame))
        self._pipe.recycle()

    def _take(self, message: ToSlot) -> None:
        match message:
            case Run():
                job = Job(message, self._programs[message.batch], self._items)
                self._open.append(job)
                self._jobs.put(job)
            case UseProgram():
                self._programs[message.batch] = Invocation(message, self._runner)
            case UseBlock():
                self._items = Items(message.start, message.payload)
            case Forget():
                del self._programs[message.batch]
            case Drop():
                for job in list(self._open):  # the copy is atomic, what filters it is not
                    if job.run.chunk == message.chunk:
                        self._drop(job)
            case Leave():
                self._jobs.put(_Note.LEAVE)

    def _drop(self, job: Job) -> None:
        """The owner wants a job back, or what of it has not begun."""
        if job.claim():
            self._open.remove(job)
            self._report.drop(job.run.chunk)
        elif job.end_early():
            self._report.cut(job.run.chunk, job.run.stop)
