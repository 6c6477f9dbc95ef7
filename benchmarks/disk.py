"""How quickly a disk takes what is written in order: what a journal is measured by."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

from benchmarks.stopwatch import seconds_of

BLOCK_BYTES = 1 << 20
BLOCKS = 1024
SEED = 6


def write_rate(directory: Path, blocks: int = BLOCKS) -> float:
    """MB a second, until all is on the disk.

    Written through the page cache, as a journal is, and flushed within the time that is taken
    (fdatasync(2)), so that nothing of it is the memory's. The blocks are of a MiB, which does not
    compress.
    """
    block = random.Random(SEED).randbytes(BLOCK_BYTES)  # noqa: S311 - a seed repeats it
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:

        def write() -> None:
            for _ in range(blocks):
                file.write(block)
            os.fdatasync(file.fileno())

        return blocks * BLOCK_BYTES / seconds_of(write) / 1e6
