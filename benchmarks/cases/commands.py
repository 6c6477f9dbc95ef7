"""Commands that do nothing, and whose output is captured: how many a second."""

from __future__ import annotations

import os
import time
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

from benchmarks.case import OWN, WARM, Case, Elsewhere, Measured, Must, Plan, WrongError
from benchmarks.cluster import Cluster, write_batch
from benchmarks.peers import hyperqueue

COMMANDS = 4000
PROCESSES = 2

FEWER_OF_HYPERQUEUE = 4
"""So many times fewer for it: all of them would take most of a minute."""

ELSEWHERE = Elsewhere(397.0, "one run on another machine of two cores, 23 November 2026")
"""Commands a second of HyperQueue, by its Python package, for where it is not installed."""

BATCH = "name: commands\ncommand: ['true']\nparams: {{count: {}}}\n"

JOIN_SECONDS = 600.0


def _farm(plan: Plan) -> Measured:
    with Cluster(plan.directory, (PROCESSES,)) as cluster, cluster.session() as session:
        list(session.submit(write_batch(plan.directory, BATCH.format(WARM))).results())
        count = plan.of(COMMANDS)
        path = write_batch(plan.directory, BATCH.format(count))
        began = time.perf_counter()
        results = list(session.submit(path).results())
        seconds = time.perf_counter() - began
        if len(results) != count or any(one["exit_code"] for one in results):
            raise WrongError(f"{len(results):,} of {count:,} commands gave a result")
        return {"commands": count / seconds}


def _bare(plan: Plan) -> Measured:
    """What the system itself takes, where nothing is captured."""
    context = get_context("spawn")  # of small processes: those of a large one start more slowly
    count = plan.of(COMMANDS) // PROCESSES
    barrier = context.Barrier(PROCESSES + 1)
    processes = [
        context.Process(target=_spawn, args=(count, barrier), daemon=True) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    barrier.wait(JOIN_SECONDS)
    began = time.perf_counter()
    barrier.wait(JOIN_SECONDS)
    seconds = time.perf_counter() - began
    for process in processes:
        process.join(JOIN_SECONDS)
    return {"commands": count * PROCESSES / seconds}


def _spawn(count: int, barrier: Barrier) -> None:
    barrier.wait(JOIN_SECONDS)
    for _ in range(count):
        pid = os.posix_spawnp("true", ["true"], os.environ)
        if os.waitpid(pid, 0)[1]:
            raise WrongError("true has failed")
    barrier.wait(JOIN_SECONDS)


def _hyperqueue(plan: Plan) -> Measured:
    count = plan.of(COMMANDS // FEWER_OF_HYPERQUEUE)
    with hyperqueue.runner(plan.directory, PROCESSES) as run:
        return {"commands": count / run(["true"], count)}


CASE = Case(
    "commands",
    f"{COMMANDS:,} times the command `true` in a batch, {PROCESSES} processes, output captured",
    units={"commands": "/s"},
    words={"commands": f"{COMMANDS:,} times the command `true`, output captured"},
    sides={OWN: _farm, "bare posix_spawn": _bare, "HyperQueue": _hyperqueue},
    musts=(
        Must("commands", "bare posix_spawn", least=0.6),
        Must("commands", "HyperQueue", least=4, elsewhere=ELSEWHERE),
    ),
)
