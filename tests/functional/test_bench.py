"""`scripts/bench` in small: figures come out of it, and no process stays."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from functional_farm import ROOT, SECONDS, wait_until

from benchmarks.cases import CASES
from benchmarks.cases.commands import ELSEWHERE
from benchmarks.cases.throughput import BATCH
from benchmarks.cluster import Cluster, write_batch
from benchmarks.processes import cpu_seconds, end_marked, marked, peak_megabytes, stop

MARK = "BENCH_TEST_ID"


def bench(directory: Path, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Run a trial; exit code, output, JSON."""
    mark = uuid.uuid4().hex
    path = directory / "bench.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--scale", "0.01", "--repeats", "1",
         "--json", str(path), "--markdown", str(directory / "bench.md"), *arguments],
        cwd=ROOT, env={**os.environ, MARK: mark, "TMPDIR": str(directory)}, capture_output=True,
        text=True, timeout=2 * SECONDS, check=False,
    )  # fmt: skip
    assert marked(f"{MARK}={mark}") == [], "processes were left behind"
    assert path.exists(), done.stderr
    return done.returncode, done.stdout, json.loads(path.read_text())


def test_farm_alone_in_small(tmp_path: Path) -> None:
    code, out, found = bench(
        tmp_path, "--without-peers", "--only", "latency", "--only", "idle", "--only", "throughput"
    )

    assert code == 0, out
    assert [case["name"] for case in found["cases"]] == ["throughput", "latency", "idle"]
    throughput, latency, idle = found["cases"]
    tasks = throughput["sides"]["farm"]["tasks"]
    assert tasks["median"] == tasks["values"][0] > 0
    assert set(idle["sides"]["farm"]) == set(CASES["idle"].units)
    assert latency["sides"] or latency["left_out"]
    assert "multiprocessing.Pool" not in throughput["sides"]
    assert found["scale"] == 0.01
    assert found["machine"]["cores"] >= 1
    assert found["versions"]["farm"]
    assert "This was a trial" in out
    assert f"All values are in {tmp_path / 'bench.json'}" in out
    table = (tmp_path / "bench.md").read_text()
    assert "| `farm --help`, beside that of a program of two commands |" in table
    assert str(tmp_path) not in table
    assert platform.node() not in table
    assert not [left for left in tmp_path.iterdir() if left.name.startswith("fb-")]


def test_a_node_of_its_own_is_leased_out_all_batches(tmp_path: Path) -> None:
    code, out, found = bench(tmp_path, "--only", "batches")

    assert code == 0, out
    (case,) = found["cases"]
    figures = case["sides"]["farm"]
    assert 0 < figures["p50"]["median"] <= figures["p99"]["median"]


def test_a_peer_beside_farm_and_one_that_may_not_be_there(tmp_path: Path) -> None:
    code, out, found = bench(tmp_path, "--only", "commands")

    assert code == 0, out
    (case,) = found["cases"]
    assert {"farm", "bare posix_spawn"} <= set(case["sides"])
    values = {verdict["than"]: verdict["value"] for verdict in case["verdicts"]}
    farm, bare = (case["sides"][side]["commands"] for side in ("farm", "bare posix_spawn"))
    assert values["bare posix_spawn"] == pytest.approx(farm["median"] / bare["median"])
    if "hyperqueue" not in found["versions"]:
        assert case["left_out"]["HyperQueue"].startswith("it is not installed")
        assert values["HyperQueue"] == pytest.approx(farm["median"] / 397)
        assert f"farm / HyperQueue (397, not measured here: {ELSEWHERE.source})" in out


def test_what_a_measurement_leaves_is_ended() -> None:
    mark = f"{MARK}={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    left = subprocess.Popen(["sleep", "600"], env={**os.environ, name: value})
    try:
        assert wait_until(lambda: marked(mark)) == [left.pid]
        assert peak_megabytes(left.pid) > 0
        assert cpu_seconds(left.pid) < 1

        end_marked(mark, 0.0)

        assert left.wait(SECONDS) == -9
    finally:
        left.kill()
        left.wait()


def test_a_process_that_does_not_stop_when_it_is_asked_is_killed() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    process = subprocess.Popen(
        [sys.executable, "-c", deaf + "print('ready', flush=True); time.sleep(600)"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    stop(process, 0.1)

    assert process.returncode == -signal.SIGKILL
    assert process.stdout.closed


def test_ctrl_c_ends_it_with_all_that_it_has_started(tmp_path: Path) -> None:
    name, value = MARK, uuid.uuid4().hex
    running = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--only", "idle", "--without-peers",
         "--json", str(tmp_path / "bench.json")],
        cwd=ROOT, env={**os.environ, name: value, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        # The runner, the measurement, the server, and the node with at least one slot.
        wait_until(lambda: len(marked(f"{name}={value}")) >= 5)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=SECONDS)

        assert running.returncode == 130
        assert "Traceback" not in said
        assert marked(f"{name}={value}") == []
        assert not list(tmp_path.glob("fb-*"))
    finally:
        end_marked(f"{name}={value}", 0.0)
        running.wait(SECONDS)


def test_a_cluster_works_and_is_stopped(tmp_path: Path) -> None:
    with Cluster(tmp_path, (1, 1)) as cluster, cluster.session() as session:
        batch = session.submit(write_batch(tmp_path, BATCH.format(5)))
        assert list(batch.results()) == [1, 2, 3, 4, 5]
        assert cluster.megabytes_kept() > 0

    assert cluster.server.poll() == 0
    assert [node.poll() for node in cluster.nodes] == [0, 0]


def test_a_node_that_does_not_start_is_not_waited_for(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, (0,))

    with pytest.raises(RuntimeError, match=r"did not start: .*--processes"):
        cluster.__enter__()

    assert cluster.server.poll() == 0


def test_a_wrong_option_is_explained(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--scale", "2"],
        cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "argument --scale: it is above 0 and at most 1, not '2'" in done.stderr
