"""A key is in its file and in memory, and nowhere where others could see it."""

from __future__ import annotations

import secrets
from pathlib import Path

from functional_farm import FarmCli, wait_until


def everything_said(cli: FarmCli) -> str:
    return "".join(path.read_text(errors="replace") for path in cli.home.glob("stderr-*"))


def command_lines(cli: FarmCli) -> str:
    return "\n".join(cli.processes().values())


def test_a_key_is_never_shown(farm_cli: FarmCli) -> None:
    """Not by a command, whatever it is told to say, in `ps`, in the journal, nor to a task."""
    key = secrets.token_urlsafe(32)
    held = {"FARM_AUTHKEY": key}
    server = farm_cli.start("serve", "--port", "0", "-vv", "--debug", env=held)
    said = [server.first_line()]
    farm_cli.address = said[0].split()[-1]
    node = farm_cli.start("worker", "--processes", "1", "-vv", "--debug", env=held)
    said.append(node.first_line())
    lines = command_lines(farm_cli)
    file = farm_cli.batch_file("command: env")
    for arguments in (
        ("submit", file, "--wait", "--debug"),
        ("results", "last", "--format", "jsonl"),
        ("status", "--json"),
        ("nodes", "--json"),
        ("submit", "no-such-file.yaml", "--debug"),
    ):
        ran = farm_cli.run(*arguments, env=held)
        said += [ran.out, ran.err]
    wrong = farm_cli.run("status", "--debug", env={"FARM_AUTHKEY": key[:-1] + "~"})
    short = farm_cli.run("status", "--debug", env={"FARM_AUTHKEY": key[:20]})
    assert (wrong.code, short.code) == (4, 2)
    said += [wrong.out, wrong.err, short.out, short.err]
    wait_until(lambda: "refused: the peer does not hold a key" in everything_said(farm_cli))
    said += [lines, command_lines(farm_cli), everything_said(farm_cli)]

    assert any("PATH=" in text for text in said)  # the task has printed its environment
    assert [text for text in said if key[:20] in text] == []
    journal = farm_cli.home / ".local" / "state" / "farm"
    assert holders_of(key, journal) == []


def holders_of(text: str, directory: Path) -> list[Path]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if text.encode() in path.read_bytes()]


def test_a_local_farm_shows_its_key_no_more(farm_cli: FarmCli) -> None:
    """Its key is made for the run, so that it is looked for by what holds one: 43 letters."""
    file = farm_cli.batch_file("command: sleep 60")
    run = farm_cli.start("run", file)
    seen = wait_until(lambda: [line for line in farm_cli.processes().values() if "sleep" in line])
    assert seen
    words = [word for line in farm_cli.processes().values() for word in line.split()]
    assert [word for word in words if len(word) == 43 and "/" not in word] == []
    run.interrupt_group()
    assert run.wait().code == 130
