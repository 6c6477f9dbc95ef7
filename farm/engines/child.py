"""The program of a slot: its first thread runs tasks, a second one (`porter`) does the rest.

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
from typing import Any

from farm.engines.exits import NO_MEMORY
from farm.engines.failure import CallError
from farm.engines.invoke import Arguments
from farm.engines.isolation import die_with_owner, isolate, kill_own_group, out_of_reach
from farm.engines.memory import MemoryLimit
from farm.engines.messages import Finished, Spent
from farm.engines.porter import Job, Porter
from farm.engines.report import Report

INDEX, BEGAN = 0, 1
"""The two numbers each slot shows its owner in shared memory: the index of the task that runs
(-1 if none), and when it began (`time.monotonic_ns`; 0 if nothing is timed). The second is
written first, so that an old beginning never stands beside a new index."""

NUMBERS = 2


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
        progress: an array of 64-bit integers shared with the owner, `NUMBERS` a slot.
        number: which slot this is, from 0.
        environment: the owner's.
    """
    isolate(environment)
    die_with_owner(lifeline)
    link = out_of_reach(link)
    shown = memoryview(progress).cast("B").cast("q")[NUMBERS * number : NUMBERS * (number + 1)]
    limit = MemoryLimit()
    report = Report(link, limit)
    porter = Porter(link, report, limit)
    threading.Thread(target=porter.serve, name="farm-porter", daemon=True).start()
    try:
        while (job := porter.jobs.get()) is not None:
            if job.claim():
                if not limit.crowded(job.run.batch, job.program.memory):
                    _run(job, shown, report, limit)
                    if not limit.exceeded:
                        report.finish(Finished(job.run.chunk))
                        porter.over()
                        continue
                _give_up(report)
    except OSError:
        kill_own_group()
    except MemoryError:
        os._exit(NO_MEMORY)


def _run(job: Job, shown: memoryview, report: Report, limit: MemoryLimit) -> None:
    """Run one chunk; whatever goes wrong on the way to a task is that task's failure."""
    start, stop, program = job.run.start, job.run.stop, job.program
    report.begin(job.run.batch, start, program.dump)
    _show_beginning(shown, start, program.timed)
    try:
        if program.memory is not None:
            limit.enter(program.memory)
        function = program.function()
        while (at := report.position) < stop and not limit.exceeded:
            until = min(stop, at + report.group())
            arguments = program.arguments(at, until, job.items)
            _run_group(range(at, until), arguments, function, shown, program.timed, report, limit)
            if report.position < until and not limit.exceeded:
                raise CallError("SpaceError", f"there are no arguments for {report.position}")
            report.pack()
            shown[BEGAN] = 0
            report.send_enough()
    except Exception as error:
        shown[BEGAN] = 0
        failure = limit.describe(error, report.position, stop)
        if report.position < stop:
            report.fail(failure)
    limit.leave()
    shown[BEGAN] = 0
    shown[INDEX] = -1


def _run_group(
    indices: Iterable[int],
    arguments: Iterable[Arguments],
    function: Callable[..., Any],
    shown: memoryview,
    timed: bool,
    report: Report,
    limit: MemoryLimit,
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
            report.fail(limit.describe(error, index, index + 1, clock() - before))
            if limit.exceeded:
                return
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


def _give_up(report: Report) -> None:
    """Exit at once: threads of tasks, which a usual end would wait for, are of no use any more."""
    report.finish(Spent())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # whatever a task put there
            stream.flush()
    os._exit(0)
