"""The command line itself: help, version, options before and after the command."""

import json
import os
import subprocess
import sys

import pytest
from functional_farm import ROOT, FarmCli

from farm.cli.main import COMMANDS, load

BARE = """
import typer
app = typer.Typer()
@app.command()
def one(name: str = typer.Option("x", help="A name.")) -> None:
    "Do one thing."
@app.command()
def two(name: str = typer.Option("x", help="A name.")) -> None:
    "Do another."
app()
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_help_is_how_the_commands_own_help_begins(name: str) -> None:
    text = load(name).help

    assert text.startswith(COMMANDS[name].rstrip("."))


def test_help_names_every_command_and_the_exit_codes(farm_cli: FarmCli) -> None:
    ran = farm_cli.run("-h", env={"COLUMNS": "200"})

    assert ran.code == 0
    for name, line in COMMANDS.items():
        assert f"{name} " in ran.out
        assert line in ran.out
    for code in ("0 all done", "1 some tasks failed", "2 wrong use", "3 the server", "4 not"):
        assert code in ran.out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("serve", ("--host", "--port", "--authkey-file", "--data", "--config", "FARM_SERVE_PORT")),
        ("serve", ("--durability", "process|disk", "FARM_DURABILITY", "--keep", "FARM_KEEP")),
        ("retry", ("--failed", "--index", "3,7-9", "--wait")),
        ("forget", ("BATCH...",)),
        ("import", ("DIR", "--host")),
        ("worker", ("--processes", "--name", "--grace", "FARM_HOST", "127.0.0.1:7077")),
        ("submit", ("--wait", "--name", "--set")),
        ("run", ("--processes", "--output")),
        ("results", ("--format", "--output", "--failed")),
    ],
)
def test_the_help_of_a_command(farm_cli: FarmCli, name: str, words: tuple[str, ...]) -> None:
    ran = farm_cli.run(name, "--help", env={"COLUMNS": "200"})

    assert ran.code == 0
    for word in (*words, "--json", "--quiet", "--debug"):
        assert word in ran.out


@pytest.mark.parametrize("arguments", [(), *((name,) for name in COMMANDS)])
def test_a_switch_has_no_value_in_the_help(farm_cli: FarmCli, arguments: tuple[str, ...]) -> None:
    ran = farm_cli.run(*arguments, "-h")

    assert "--help" in ran.out
    assert "<bool" not in ran.out


def test_help_is_quick(farm_cli: FarmCli) -> None:
    bare = farm_cli.home / "bare.py"
    bare.write_text(BARE)
    env = farm_cli.environment()

    def seconds(*line: str) -> float:
        begun = os.times()
        subprocess.run([sys.executable, *line, "--help"], env=env, check=True, capture_output=True)
        ended = os.times()
        before = begun.children_user + begun.children_system
        return ended.children_user + ended.children_system - before

    ours = min(seconds("-m", "farm") for _ in range(5))
    theirs = min(seconds(str(bare)) for _ in range(5))

    assert ours <= 1.6 * theirs, f"{ours:.3f} s of CPU, against {theirs:.3f} s"


def test_version(farm_cli: FarmCli) -> None:
    ran = farm_cli.run("--version")

    assert (ran.code, ran.out.split()[0]) == (0, "farm")


def test_json_may_stand_before_and_after_the_command(farm_cli: FarmCli) -> None:
    file = farm_cli.batch_file('command: ["true"]')

    before, after = (
        farm_cli.run("--json", "validate", file),
        farm_cli.run("validate", file, "--json"),
    )

    assert before.json == after.json
    assert before.json["total"] == 1


def test_debug_shows_the_traceback(farm_cli: FarmCli) -> None:
    assert "Traceback" not in farm_cli.run("validate", "absent.yaml").err
    ran = farm_cli.run("validate", "absent.yaml", "--debug")

    assert ran.code == 2
    assert "Traceback" in ran.err
    assert "FileNotFoundError" in ran.err


def test_what_is_unforeseen_is_one_line(farm_cli: FarmCli) -> None:
    # A module of that name in the way of a command's own import breaks it from within.
    (farm_cli.home / "yaml.py").write_text("raise RuntimeError('broken')")

    ran = farm_cli.run("schema", env={"PYTHONPATH": f"{farm_cli.home}:{ROOT}"})
    status = farm_cli.run("status", env={"PYTHONPATH": f"{farm_cli.home}:{ROOT}"})

    assert ran.code == 0
    assert status.code == 1
    assert "RuntimeError: broken" in status.err
    assert "a bug in farm; run it again with --debug" in status.err
    assert "Traceback" not in status.err


def test_output_survives_a_terminal_without_unicode(farm_cli: FarmCli) -> None:
    file = farm_cli.batch_file('name: "naïve 世界"\ncommand: ["true"]')
    env = {"PYTHONIOENCODING": "ascii"}

    table = farm_cli.run("validate", file, env=env)
    document = farm_cli.run("validate", file, "--json", env=env)

    assert table.code == 0
    assert "na\\xefve" in table.out
    assert json.loads(document.out)["name"] == "naïve 世界"
