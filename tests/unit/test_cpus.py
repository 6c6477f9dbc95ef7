"""How many CPUs may be used."""

from __future__ import annotations

import os

import pytest

from farm import cpus
from farm.cpus import usable_cpus


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Writes control groups: ``groups("/a/b", {"/a": "100000 100000"})``; 8 CPUs otherwise."""
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cpus, "_V1_ROOT", tmp_path / "v1")

    def write(own, limits):
        proc, root = tmp_path / "cgroup", tmp_path / "root"
        proc.write_text(f"12:cpu:/elsewhere\n0::{own}\n")
        for path, text in limits.items():
            directory = root / path.strip("/")
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "cpu.max").write_text(text + "\n")
        return usable_cpus(proc, root)

    return write


def test_without_a_quota_the_affinity_counts(groups):
    assert groups("/", {}) == 8
    assert groups("/a", {"/a": "max 100000"}) == 8


def test_a_quota_counts(groups):
    assert groups("/a", {"/a": "200000 100000"}) == 2


def test_part_of_a_cpu_counts_as_one(groups):
    assert groups("/a", {"/a": "150000 100000"}) == 2
    assert groups("/b", {"/b": "10000 100000"}) == 1


def test_the_smallest_quota_above_binds(groups):
    limits = {"/a/b": "600000 100000", "/a": "300000 100000", "/": "max 100000"}
    assert groups("/a/b", limits) == 3


def test_a_quota_above_the_affinity_does_not_add(groups):
    assert groups("/a", {"/a": "6400000 100000"}) == 8


def test_the_older_control_groups_count(groups, tmp_path):
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "v1" / "cpu.cfs_quota_us").write_text("250000\n")
    assert groups("/", {}) == 3
    (tmp_path / "v1" / "cpu.cfs_quota_us").write_text("-1\n")
    assert groups("/", {}) == 8


def test_without_control_groups(groups, tmp_path):
    assert usable_cpus(tmp_path / "none", tmp_path / "none") == 8


def test_on_this_machine():
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)
