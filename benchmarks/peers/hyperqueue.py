"""HyperQueue's server and a worker of it, by its Python package."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.case import WrongError


@contextlib.contextmanager
def runner(directory: Path, processes: int) -> Iterator[Callable[[list[str], int], float]]:
    """Gives what runs a program so many times, and says how many seconds it took; warm.

    Each program has files of its own for what it prints, which farm captures as well. One file for
    all, which its documentation has for very many tasks (HyperQueue, Output Streaming), is an
    option of its command line, and not of its Python package.

    Its client looks once a second whether a job has ended: the end is taken to be when the last
    program's output was opened.
    """
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    with LocalCluster(server_dir=str(directory)) as cluster:
        cluster.start_worker(WorkerConfig(cores=processes))
        client = cluster.client()

        def run(program: list[str], times: int) -> float:
            outputs = Path(tempfile.mkdtemp(dir=directory))
            job = Job(default_workdir=str(outputs))
            began = time.time()
            for _ in range(times):
                job.program(args=program)
            if not client.wait_for_jobs([client.submit(job)]):
                raise WrongError("tasks of HyperQueue have failed")
            opened = [output.stat().st_mtime for output in outputs.glob("*.stdout")]
            if len(opened) != times:
                raise WrongError(f"{len(opened)} of {times} programs left an output")
            return max(opened) - began

        run(["true"], 2 * processes)
        yield run
