"""Freed memory is kept, so that who makes the same again need not have its pages cleared anew."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from farm.allocation import keep_freed
if {keep}:
    keep_freed()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    blocks = [bytes(1 << 20) for _ in range(4)]
    del blocks
before = faults()
for _ in range(50):
    blocks = [b"x" * (1 << 20) for _ in range(4)]
    del blocks
print(faults() - before)
"""


def faults(keep: bool, **more: str) -> int:
    """Page faults of making 200 MiB, four at a time."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | more
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(keep=keep)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told")
def test_what_was_freed_is_used_again() -> None:
    assert faults(True) < faults(False) / 10


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told")
def test_who_has_told_the_c_library_is_left_alone() -> None:
    told = faults(True, MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072")
    assert told > 10 * faults(True)
