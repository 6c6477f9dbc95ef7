"""A server or a node in a process of its own, for tests that kill it.

farm_process.py server DATA PORT
farm_process.py node PORT NAME SLOTS [GRACE]
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from farm.engines.processes import ProcessEngine
from farm.server.manager import FarmManager
from farm.wire.address import Address
from farm.worker import Worker

KEY = b"0123456789abcdef0123456789abcdef"


def serve(data: str, port: str) -> None:
    server = FarmManager(("127.0.0.1", int(port)), KEY, Path(data)).get_server()
    server.serve_forever(lambda: print("ready", server.port, flush=True))


def work(port: str, name: str, slots: str, grace: str = "2") -> None:
    worker = Worker(
        ProcessEngine(int(slots)), Address("127.0.0.1", int(port)), KEY, name=name,
        grace=float(grace), directory=Path(tempfile.mkdtemp(prefix="farm-test-")),
    )  # fmt: skip
    signal.signal(signal.SIGTERM, lambda number, _: worker.stop(number))
    worker.run(lambda _: print("ready", port, flush=True))


if __name__ == "__main__":
    {"server": serve, "node": work}[sys.argv[1]](*sys.argv[2:])
