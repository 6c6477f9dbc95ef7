"""How many CPUs this process may use: its affinity, and the quota of its control group."""

from __future__ import annotations

import math
import os
from pathlib import Path

_V2_ROOT = Path("/sys/fs/cgroup")
_V1_ROOT = Path("/sys/fs/cgroup/cpu")


def usable_cpus(proc: Path = Path("/proc/self/cgroup"), root: Path = _V2_ROOT) -> int:
    """At least 1. A quota of 1.5 CPUs counts as 2, so that it is used up.

    Args:
        proc: where the kernel tells this process's control group (cgroups(7)).
        root: where the control groups are mounted.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [*_v2_quotas(proc, root), *_v1_quotas()]
    return max(1, min([affinity or 1, *(math.ceil(quota) for quota in quotas)]))


def _v2_quotas(proc: Path, root: Path) -> list[float]:
    """The quotas of this process's group and of those above it; the smallest one binds."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return []  # not Linux, or no control groups
    own = next((line[3:] for line in lines if line.startswith("0::")), None)
    if own is None:
        return []
    group = root / own.strip("/")
    found = []
    for directory in (group, *group.parents):
        if directory == root.parent:
            break
        text = _read(directory / "cpu.max").split()
        if len(text) == 2 and text[0] != "max":
            found.append(int(text[0]) / int(text[1]))
    return found


def _v1_quotas() -> list[float]:
    quota, period = _read(_V1_ROOT / "cpu.cfs_quota_us"), _read(_V1_ROOT / "cpu.cfs_period_us")
    if not quota or not period or int(quota) <= 0:
        return []
    return [int(quota) / int(period)]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""  # no such limit
