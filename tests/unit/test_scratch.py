"""Directories of dead processes are swept away, others are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from farm.scratch import scratch_directory


@pytest.fixture(autouse=True)
def _own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_it_is_private_and_removed() -> None:
    with scratch_directory("farm-x") as path:
        (path / "file").write_text("x")
        assert path.stat().st_mode & 0o077 == 0
    assert not path.exists()


def test_those_of_dead_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    dead = _dead_pid()
    stale = tmp_path / f"farm-x-{dead}-abc"
    kept = [
        tmp_path / f"farm-x-{os.getpid()}-abc",
        tmp_path / f"farm-y-{dead}-abc",
        tmp_path / "farm-x-mine",
    ]
    for path in (stale, *kept):
        path.mkdir()
        (path / "file").write_text("x")
    with scratch_directory("farm-x"):
        assert not stale.exists()
        assert all((path / "file").exists() for path in kept)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (tmp_path / f"farm-x-{_dead_pid()}-abc").symlink_to(tmp_path / "precious")
    with scratch_directory("farm-x"):
        assert (tmp_path / "precious" / "file").exists()
