"""A small disk of a test's own, which can be filled, emptied and made read-only; Linux, as root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

BALLAST = "ballast"


class Disk:
    """A file system in memory.

    Args:
        path: where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        """Leave no room, not for a byte."""
        with (self.path / BALLAST).open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * size)

    def make_room(self) -> None:
        """Undo `fill`."""
        (self.path / BALLAST).unlink()

    def read_only(self, yes: bool = True) -> None:
        """Let nobody write, or everybody again."""
        _run("mount", "-o", f"remount,{'ro' if yes else 'rw'}", str(self.path))


@contextlib.contextmanager
def mounted_disk(path: Path, megabytes: int) -> Iterator[Disk]:
    """Mount one for a while; skips the test where that is not allowed."""
    path.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "farm-test", str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this user may not mount a file system here (uid {os.getuid()}): {error}")
    try:
        yield Disk(path)
    finally:
        _run("umount", "-l", str(path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
