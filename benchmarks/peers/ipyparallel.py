"""ipyparallel's load-balanced view of a cluster on this machine.

Its tasks go to an engine as they are submitted, which its documentation has for "minimal latency"
(ipyparallel, The IPython task interface, "Greedy Assignment"). The scheduler in C that the same
page has for throughput is a little quicker, but at times it misses an engine and breaks off.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.case import WARM
from benchmarks.tasks import inc


@contextlib.contextmanager
def view(directory: Path, processes: int) -> Iterator[Any]:
    """A view of so many engines; warm."""
    os.environ["IPYTHONDIR"] = str(directory)  # its profile, which would be the user's own
    import ipyparallel

    with ipyparallel.Cluster(
        n=processes, log_level=logging.ERROR, controller_args=["--TaskScheduler.hwm=0"]
    ) as opened:
        balanced = opened.load_balanced_view()
        balanced.map_sync(inc, range(WARM))
        yield balanced
