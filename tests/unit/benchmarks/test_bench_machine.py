"""What is said of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.machine import filesystem

MOUNTS = """\
/dev/a / ext4 rw 0 0
tmp /ram tmpfs rw 0 0
/dev/b /ram/my\\040disk xfs rw 0 0
/dev/c /mnt ext4 rw 0 0
/dev/d /mnt btrfs rw 0 0
"""


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/", "ext4"), ("/home/x", "ext4"), ("/ram", "tmpfs"), ("/ramfile", "ext4"),
        ("/ram/x/y", "tmpfs"), ("/ram/my disk/data", "xfs"), ("/mnt/x", "btrfs"),
    ],
)  # fmt: skip
def test_a_directory_is_on_the_innermost_latest_mount(directory: str, kind: str) -> None:
    assert filesystem(MOUNTS, Path(directory)) == kind


def test_without_mounts_nothing_is_known() -> None:
    assert filesystem("", Path("/ram")) == "unknown"
