"""A short simulation against a real server: its figures are there, and its tasks add up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from functional_farm import ROOT, SECONDS

NODES, SLOTS = 10, 4


def test_ten_nodes_do_every_task_once(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    line = [sys.executable, "-m", "benchmarks.simulation", "--nodes", str(NODES)]
    line += ["--slots", str(SLOTS), "--seconds", "1", "--task-seconds", "0.5"]
    ran = subprocess.run(
        [*line, "--json", str(written)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "Everything held." in ran.stdout
    found = json.loads(written.read_text())
    assert found["problems"] == []
    phases = {phase["phase"]: phase for phase in found["figures"]}
    assert list(phases) == ["join", "idle", "single", "life", "flat", "half"]
    assert all(phase["nodes"] == NODES for phase in phases.values())
    assert phases["flat"]["tasks"] > phases["life"]["tasks"] > 0
    assert 0 < phases["half"]["lease_p50"] <= phases["half"]["lease_p99"]
    [account] = found["accounts"]
    assert account["holds"]
    assert account["done"] == account["acknowledged"] > 0
    assert account["done"] + account["pending"] == account["total"]
    assert [costs["nodes"] for costs in found["costs"]] == [NODES]
