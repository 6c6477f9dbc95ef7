"""The program of a slot: its first thread runs tasks, a second one reads and flushes.

Started by `farm.engines.launch`, and preloaded by the fork server, so that a new slot needs no
imports.
"""

from __future__ import annotations

import os
import queue
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

if sys.platform != "win32":
    import fcntl

from farm.engines.failure import CallError, describe
from farm.engines.invoke import Arguments, Invocation, Items
from farm.engines.messages import Drop, Forget, Leave, Run, UseBlock, UseProgram, decode_to_slot
from farm.engines.pipe import read_frame
from farm.engines.report import FLUSH_SECONDS, Report
from farm.engines.resolve import CoroutineRunner

INDEX, BEGAN = 0, 1
"""The two numbers each slot shows its owner in shared memory: the index of the task that runs
(-1 if none), and when it began (`time.monotonic_ns`; 0 if nothing is timed). The second is
written first, so that an old beginning never stands beside a new index."""

NUMBERS = 2

_HIGH_DESCRIPTOR = 200
_BROKEN = 70  # EX_SOFTWARE of sysexits.h


@dataclass(frozen=True, slots=True)
class Job:
    """A chunk with all that it needs."""

    run: Run
    program: Invocation
    items: Items | None


def main(link: socket.socket, progress: Any, number: int, environment: dict[str, str]) -> None:
    """Run chunks until the owner says `Leave`.

    Args:
        link: the slot's end of its pipe.
        progress: an array of 64-bit integers shared with the owner, `NUMBERS` a slot.
        number: which slot this is, from 0.
        environment: the owner's.
    """
    _isolate(environment)
    link = _out_of_reach(link)
    shown = memoryview(progress).cast("B").cast("q")[NUMBERS * number : NUMBERS * (number + 1)]
    report = Report(link)
    porter = Porter(link, report)
    threading.Thread(target=porter.serve, name="farm-porter", daemon=True).start()
    while (job := porter.jobs.get()) is not None:
        if job.run.chunk not in porter.dropped:
            _run(job, shown, report)
        porter.dropped.discard(job.run.chunk)
        report.finish(job.run.chunk)
        porter.over()


class Porter:
    """The second thread: reads what the owner sends, flushes what has been finished for long.

    The owner's end of the pipe is open as long as the owner lives. When it closes, the slot
    kills its whole process group, itself included: nothing outlives a node.

    Args:
        link: the slot's end.
        report: what it flushes.
    """

    def __init__(self, link: socket.socket, report: Report) -> None:
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.dropped: set[int] = set()
        self._link = link
        self._report = report
        self._runner = CoroutineRunner()
        self._programs: dict[int, Invocation] = {}
        self._items: Items | None = None
        self._taken = 0
        self._over = 0

    def over(self) -> None:
        """The first thread is done with a job."""
        self._over += 1

    def serve(self) -> None:
        """Never returns: the slot ends with its first thread, or here."""
        try:
            self._serve()
        except (OSError, EOFError):
            kill_own_group()
        except BaseException:
            traceback.print_exc()
            os._exit(_BROKEN)

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._link, selectors.EVENT_READ)
            while True:
                busy = self._taken != self._over
                if selector.select(FLUSH_SECONDS if busy else None):
                    self._take(decode_to_slot(read_frame(self._link)))
                if busy:
                    self._report.flush_old()

    def _take(self, message: UseProgram | Forget | UseBlock | Run | Drop | Leave) -> None:
        match message:
            case Run():
                job = Job(message, self._programs[message.batch], self._items)
                self._taken += 1
                self.jobs.put(job)
            case UseProgram():
                self._programs[message.batch] = Invocation(message, self._runner)
            case UseBlock():
                self._items = Items(message.start, message.payload)
            case Forget():
                del self._programs[message.batch]
            case Drop():
                self.dropped.add(message.chunk)
            case Leave():
                self.jobs.put(None)


def _run(job: Job, shown: memoryview, report: Report) -> None:
    """Run one chunk; whatever goes wrong on the way to a task is that task's failure."""
    start, stop, program = job.run.start, job.run.stop, job.program
    report.begin(job.run.batch, start, program.dump)
    _show_beginning(shown, start, program.timed)
    try:
        function = program.function()
        while (at := report.position) < stop:
            until = min(stop, at + report.group())
            arguments = program.arguments(at, until, job.items)
            _run_group(range(at, until), arguments, function, shown, program.timed, report)
            if report.position < until:
                raise CallError("SpaceError", f"there are no arguments for {report.position}")
            report.pack()
            shown[BEGAN] = 0
            report.send_enough()
    except Exception as error:
        shown[BEGAN] = 0
        report.fail(describe(error, report.position, stop))
    shown[BEGAN] = 0
    shown[INDEX] = -1


def _run_group(
    indices: Iterable[int],
    arguments: Iterable[Arguments],
    function: Callable[..., Any],
    shown: memoryview,
    timed: bool,
    report: Report,
) -> None:
    """Run some tasks; this loop is all that farm costs for each."""
    add_result, add_seconds = report.results.append, report.seconds.append
    clock, clock_ns = time.perf_counter, time.monotonic_ns
    before = clock()
    for index, (args, kwargs) in zip(indices, arguments, strict=False):
        if timed:
            shown[1] = clock_ns()
        shown[0] = index
        try:
            result = function(*args, **kwargs)
        except BaseException as error:  # SystemExit, KeyboardInterrupt: the task's, not the slot's
            shown[1] = 0
            report.fail(describe(error, index, index + 1, clock() - before))
            before = clock()
        else:
            add_result(result)
            now = clock()
            add_seconds(now - before)
            before = now


def _show_beginning(shown: memoryview, index: int, timed: bool) -> None:
    """Importing the batch's code is part of its first task: it may hang or crash as well."""
    shown[BEGAN] = time.monotonic_ns() if timed else 0
    shown[INDEX] = index


def _isolate(environment: dict[str, str]) -> None:
    """Make the slot a process group of its own that Ctrl-C does not reach and no input feeds."""
    if hasattr(os, "setsid"):
        os.setsid()
    # A handler, not SIG_IGN, which the commands that tasks start would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if null != 0:
        os.close(null)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - lives as long as the slot


def _out_of_reach(link: socket.socket) -> socket.socket:
    """Move the pipe to a descriptor that a task does not hit by closing or counting a few."""
    if sys.platform == "win32":
        return link
    high = fcntl.fcntl(link.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR)
    link.close()
    moved = socket.socket(fileno=high)
    os.register_at_fork(after_in_child=moved.close)
    return moved


def kill_own_group() -> None:
    """End this process and what it started."""
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(_BROKEN)
