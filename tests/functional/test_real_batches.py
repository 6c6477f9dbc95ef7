"""The batches of configs/batches do their real work."""

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from functional_farm import BATCHES, SECONDS, FarmCli


def run(cli: FarmCli, name: str, *arguments: str) -> list[dict[str, object]]:
    """Run one of the batches; its rows."""
    target = cli.home / "out.jsonl"
    ran = cli.run(
        "run", BATCHES / name, "--output", target, "--json", *arguments, seconds=2 * SECONDS
    )
    assert ran.code == 0, ran.out
    return cli.rows(target)


def script(cli: FarmCli, *line: str | Path) -> str:
    """What one of the Python files prints as a program."""
    done = subprocess.run(
        [sys.executable, *map(str, line)],
        env=cli.environment(),
        cwd=cli.home,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_primes(farm_cli: FarmCli) -> None:
    rows = run(farm_cli, "primes.yaml", "--set", "params.matrix.start={range: [0, 200000, 20000]}")

    counts = {kind: [] for kind in ("odd", "all")}
    for row in rows:
        counts[row["params"]["kind"]].append(row["result"])
    assert sum(counts["all"]) == 17_984  # pi(200000)
    assert counts["odd"] == counts["all"][1:]


def test_the_mandelbrot_set_becomes_a_picture(farm_cli: FarmCli) -> None:
    rows = run(farm_cli, "mandelbrot.yaml")
    picture = farm_cli.home / "mandelbrot.png"
    said = script(farm_cli, BATCHES / "mandelbrot.py", farm_cli.home / "out.jsonl", picture)

    assert len(rows) == 96
    assert "960 x 640" in said
    assert "missing" not in said
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == (960, 640)
    size = struct.unpack(">I", data[33:37])[0]
    pixels = zlib.decompress(data[41 : 41 + size])
    assert len(set(pixels)) > 100  # it is not one colour


def test_the_standard_library_is_measured(farm_cli: FarmCli) -> None:
    pattern = str(Path(json.__file__).parent / "*.py")

    rows = run(farm_cli, "stdlib.yaml", "--set", f"params.glob={pattern}")

    found = {Path(row["params"]["path"]).name: row["result"] for row in rows}
    source = Path(json.__file__).parent / "decoder.py"
    assert found["decoder.py"]["lines"] == len(source.read_bytes().splitlines())
    said = script(farm_cli, BATCHES / "stdlib_stats.py", farm_cli.home / "out.jsonl")
    assert "The ten most complex functions" in said
    assert "py_scanstring" in said


def test_checksums(farm_cli: FarmCli) -> None:
    rows = run(farm_cli, "checksums.yaml")

    sizes = {Path(row["params"]["path"]).name: row["result"]["stdout"].split()[1] for row in rows}
    assert sizes == {path.name: str(path.stat().st_size) for path in BATCHES.glob("*.yaml")}


@pytest.mark.parametrize(
    ("name", "greeted"),
    [
        ("process_function", ["alvin"] * 3),
        ("process_class", ["MyProcess-1", "MyProcess-2", "MyProcess-3"]),
    ],
)
def test_both_ways_of_making_a_process(farm_cli: FarmCli, name: str, greeted: list[str]) -> None:
    rows = run(farm_cli, f"article/{name}.yaml")

    assert [row["result"].split()[:2] for row in rows] == [["hello", who] for who in greeted]


def test_the_pool_with_a_callback(farm_cli: FarmCli) -> None:
    rows = run(farm_cli, "article/pool_callback.yaml", "--processes", "5")
    said = script(farm_cli, BATCHES / "article" / "pool_callback.py").splitlines()

    assert [row["result"] for row in rows] == [*range(100, 110)]
    assert said[0] == "end"
    assert sorted(said[1:]) == [f"-->exec done: {i}" for i in range(100, 110)]


def test_every_batch_is_run_here() -> None:
    assert {path.stem for path in BATCHES.rglob("*.yaml")} == {
        "primes", "mandelbrot", "stdlib", "checksums",
        "process_function", "process_class", "pool_callback",
    }  # fmt: skip
