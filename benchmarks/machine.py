"""The machine on which figures were measured, and the versions of all sides."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import disk
from farm.cpus import usable_cpus
from farm.version import __version__

PACKAGES = ("dask", "distributed", "ray", "ipyparallel", "joblib", "hyperqueue")


def describe(directory: Path, blocks: int = disk.BLOCKS) -> dict[str, Any]:
    """What a figure depends on, before anything is measured.

    Args:
        directory: on the filesystem of the data directories.
        blocks: how many are written to measure its disk.
    """
    mounts = Path("/proc/mounts").read_text(encoding="utf-8")
    return {
        "cpu": _cpu_model(Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        "cores": usable_cpus(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": filesystem(mounts, directory.resolve()),
        "disk_mb_s": round(disk.write_rate(directory, blocks)),
        "load": [round(one, 2) for one in os.getloadavg()],
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Of farm and of each peer's package that is installed."""
    found = {"farm": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu_model(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def filesystem(mounts: str, directory: Path) -> str:
    """The type of the filesystem that a directory is on.

    Args:
        mounts: as in /proc/mounts; the later of two on the same place covers the earlier.
        directory: absolute, without symbolic links.

    Example:
        >>> filesystem("/dev/a / ext4 rw 0 0\\ntmp /tmp tmpfs rw 0 0\\n", Path("/tmp/x"))
        'tmpfs'
    """
    found, depth = "unknown", -1
    for line in mounts.splitlines():
        # A space in the place is written as \040.
        place = Path(line.split()[1].replace("\\040", " "))
        if directory.is_relative_to(place) and len(place.parts) >= depth:
            found, depth = line.split()[2], len(place.parts)
    return found
