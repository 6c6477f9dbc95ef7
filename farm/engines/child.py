"""The program of a slot: its first thread runs tasks, a second one (`porter`) looks after it.

Started by `farm.engines.launch`, and preloaded by the fork server, so that a new slot needs no
imports.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from farm.allocation import keep_freed
from farm.engines.ending import end_slot
from farm.engines.failure import CallError
from farm.engines.inbox import Inbox, Job
from farm.engines.invoke import Invocation
from farm.engines.isolation import (
    die_with_owner,
    isolate,
    keep_from_tasks,
    out_of_reach,
    stop_timers,
)
from farm.engines.memory import MemoryLimit
from farm.engines.messages import Finished, Spent
from farm.engines.porter import Porter
from farm.engines.progress import Progress
from farm.engines.report import Report

T = TypeVar("T")


def main(
    link: socket.socket,
    lifeline: Connection,
    progress: Any,
    number: int,
    environment: dict[str, str],
) -> None:
    """Run chunks until the owner says `Leave`.

    Args:
        link: the slot's end of its pipe.
        lifeline: a pipe that closes with the owner.
        progress: memory shared with the owner (see `farm.engines.progress`).
        number: which slot this is, from 0.
        environment: the owner's.
    """
    isolate(environment)
    keep_freed()
    keep_from_tasks(progress)
    die_with_owner(lifeline)
    link = out_of_reach(link)
    shown = Progress(memoryview(progress), number)
    limit = MemoryLimit()
    report = Report(link, limit, shown)
    inbox = Inbox(link, report)
    porter = Porter(link, inbox, report, limit)
    threading.Thread(target=porter.serve, name="farm-porter", daemon=True).start()
    limit.measure()
    batch = -1
    try:
        while (job := inbox.next()) is not None:
            if job.run.batch != batch:
                batch = job.run.batch
                _twice(stop_timers)
            if not limit.crowded(job.run.batch, job.program.memory):
                _run(job, shown, report, limit)
                if not limit.exceeded:
                    report.finish(Finished(job.run.chunk))
                    shown.finish(job.run.chunk)
                    inbox.over()
                    continue
            _give_up(report)
    except BaseException as error:
        end_slot(error)


def _run(job: Job, shown: Progress, report: Report, limit: MemoryLimit) -> None:
    """Run one chunk; what goes wrong on the way to a task is that task's failure.

    What the task and those behind it have in common fails all of them: the code they call, and
    what farm has a name for. Anything else may be an exception that a signal handler raises for a
    task that is over.
    """
    stop, program = job.run.stop, job.program
    shown.enter(job.run.chunk)
    report.begin(job.run.batch, job.run.start, program.dump, careful=job.run.careful)
    ready = False
    while report.position < stop and not (limit.exceeded or job.cut):
        try:
            if not ready:
                _twice(lambda: _prepare(program, shown, limit))
                ready = True
            _run_groups(job, shown, report, limit)
        except Exception as error:
            if program.timed:
                shown.watch()
            at = report.position
            common = not ready or isinstance(error, CallError)
            failure = limit.describe(error, at, stop if common else at + 1)
            report.pack()
            shown.rest()
            if at < stop:
                report.fail(failure)
    limit.leave()
    shown.end()


def _twice(step: Callable[[], T]) -> T:
    """Take a step that begins no task and can be repeated; one exception that comes is none's."""
    try:
        return step()
    except Exception:
        return step()


def _prepare(program: Invocation, shown: Progress, limit: MemoryLimit) -> None:
    """Importing the batch's code is part of its first task: it may hang or crash as well."""
    if program.timed:
        shown.watch()
    if program.memory is not None:
        limit.enter(program.memory)
    program.resolve()


def _run_groups(job: Job, shown: Progress, report: Report, limit: MemoryLimit) -> None:
    """Run what is left of a chunk."""
    stop, program = job.run.stop, job.program

    def begin() -> tuple[int, Callable[[Any], Any], Iterable[tuple[int, Any]]]:
        at, until = report.position, report.open_group(stop)
        call, values = program.calls(at, until, job.items)
        return until, call, zip(job.places(until - at), values, strict=False)

    def end() -> None:
        report.pack()
        shown.rest()
        report.send_enough()

    while report.position < stop and not (limit.exceeded or job.cut):
        until, call, placed = _twice(begin)
        _run_group(shown.timing(call) if program.timed else call, placed, report, shown, limit)
        if program.timed:
            shown.watch()  # the other thread may hang in the pickling that this one waits for
        if report.position < until and not (limit.exceeded or job.cut):
            raise CallError("SpaceError", f"there are no arguments for {report.position}")
        _twice(end)


def _run_group(
    call: Callable[[Any], Any],
    placed: Iterable[tuple[int, Any]],
    report: Report,
    shown: Progress,
    limit: MemoryLimit,
) -> None:
    """Run some tasks; this loop is all that farm costs for each.

    What an exception is described by is the task's own as well, and so is the pickling of the
    results before it: the time for them is limited, too.
    """
    add_result, seconds, clock = report.results.append, shown.seconds, time.perf_counter
    before = clock()
    for at, value in placed:
        try:
            result = call(value)
        except BaseException as error:  # SystemExit, KeyboardInterrupt: the task's, not the slot's
            index, now = report.position, clock()
            failure = limit.describe(error, index, index + 1, now - before)
            report.pack()
            shown.rest()
            report.fail(failure)
            if limit.exceeded:
                return
            seconds[at] = now - before
            before = clock()
        else:
            add_result(result)
            now = clock()
            seconds[at] = now - before
            before = now


def _give_up(report: Report) -> None:
    """Exit at once: threads of tasks, which a usual end would wait for, are of no use any more."""
    report.finish(Spent())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # whatever a task put there
            stream.flush()
    os._exit(0)
