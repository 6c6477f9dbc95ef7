"""With `durability: disk` every commit waits for the disk; with `process` none does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMITS = 20
SCRIPT = f"""
import sys
from pathlib import Path
from farm.server.journal import Journal
journal = Journal(Path(sys.argv[1]), sys.argv[2])
for seq in range({COMMITS} + 1):
    journal.add_done(seq, 1, (seq, seq + 1), "n", 0.1, seq, b"p", b"0000")
    journal.commit()
    if seq == 0:  # which makes the log, and syncs it in any case
        print("ready", flush=True)
print("done", flush=True)
journal.abandon()
"""


@pytest.mark.parametrize(("durability", "syncs"), [("process", 0), ("disk", COMMITS)])
def test_commits_wait_for_the_disk_as_they_are_told(tmp_path: Path, durability, syncs) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace, which counts the calls, is not installed")
    traced = subprocess.run(
        [strace, "-f", "-e", "trace=write,fsync,fdatasync", sys.executable, "-c", SCRIPT,
         str(tmp_path / "data"), durability],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if "ready" not in traced.stdout:
        pytest.skip(f"strace may not trace here: {traced.stderr[-200:]}")
    lines = traced.stderr.splitlines()
    began = next(i for i, line in enumerate(lines) if 'write(1, "ready' in line)
    ended = next(i for i, line in enumerate(lines) if 'write(1, "done' in line)
    assert sum("sync(" in line for line in lines[began:ended]) == syncs
