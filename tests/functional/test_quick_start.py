"""The README's quick start, word by word, by somebody who has installed farm and nothing else."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from functional_farm import FarmCli

README = (Path(__file__).parents[2] / "README.md").read_text()
CODE = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
KINDS = ("odd", "all")
PRIMES = 148_933
"""Below two million."""


def shown(language: str) -> str:
    """The first block of a language."""
    return next(body for name, body in CODE if name == language)


def commands(name: str) -> list[list[str]]:
    """The words of the lines of the first block of commands that has this one."""
    block = next(body for language, body in CODE if language == "sh" and f"farm {name} " in body)
    return [shlex.split(line, comments=True) for line in block.splitlines()]


@pytest.fixture
def beginner(farm_cli: FarmCli) -> FarmCli:
    """Somebody with the two files."""
    for language, ending in (("python", "py"), ("yaml", "yaml")):
        (farm_cli.home / f"primes.{ending}").write_text(shown(language))
    return farm_cli


@pytest.mark.timeout(300)
def test_one_machine(beginner: FarmCli) -> None:
    validate, run = commands("validate")
    assert (validate[:2], run[:2]) == (["farm", "validate"], ["farm", "run"])

    ran = beginner.run(*validate[1:])
    assert (ran.code, ran.err) == (0, "")
    assert "primes: 199 tasks" in ran.out

    ran = beginner.run(*run[1:], "--output", "primes.jsonl", seconds=240.0)
    assert ran.code == 0, ran.err
    rows = beginner.rows(beginner.home / "primes.jsonl")
    found = {kind: [r["result"] for r in rows if r["params"]["kind"] == kind] for kind in KINDS}
    assert (len(found["odd"]), len(found["all"])) == (99, 100)
    assert sum(found["all"]) == PRIMES
    assert sum(found["odd"]) == PRIMES - found["all"][0]


def test_several_machines(beginner: FarmCli) -> None:
    submit = next(line for line in commands("submit") if line[:2] == ["farm", "submit"])
    beginner.serve()
    beginner.worker("node", processes=2)
    few = ["--set", "params.matrix.start={range: [0, 40000, 20000]}"]
    ran = beginner.run(*submit[1:], *few)
    assert ran.code == 0, ran.err
    for line in commands("submit"):
        if line[:2] in (["farm", "nodes"], ["farm", "status"], ["farm", "results"]):
            assert beginner.run(*line[1:]).code == 0
    assert [row["result"] for row in beginner.rows(beginner.home / "primes.jsonl")] == [
        2262, 1941, 1941,
    ]  # fmt: skip


def test_a_pool(farm_cli: FarmCli) -> None:
    script = farm_cli.home / "pool.py"
    script.write_text(next(body for name, body in CODE if name == "python" and "Pool(" in body))
    assert farm_cli.python(script) == "[3, 2, 1, 0, 1, 2]\n1024\n0\n1\n4\n"
