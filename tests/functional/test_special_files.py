"""Pipes and devices in the place of files: read where people mean that, else refused at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from functional_farm import SECONDS, FarmCli, Ran

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")

ECHO = "command: echo {line}\nparams: {lines: %s}\n"


def in_bash(cli: FarmCli, line: str) -> Ran:
    """Run a line of bash in which ``farm`` is the command."""
    defined = f'farm() {{ "{sys.executable}" -m farm "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-c", defined + line],
        env=cli.environment(),
        cwd=cli.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_a_batch_file_may_come_from_a_pipe(farm_cli: FarmCli) -> None:
    ran = in_bash(
        farm_cli, "farm validate --json <(printf 'command: echo\\nparams: {count: 3}\\n')"
    )
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["total"] == 3


def test_lines_may_come_from_a_pipe(farm_cli: FarmCli) -> None:
    line = "farm validate --json batch.yaml --set params.lines=<(printf 'a\\nb\\n')"
    farm_cli.batch_file(ECHO % "unset")
    ran = in_bash(farm_cli, line)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["total"] == 2


def test_a_shipped_python_file_is_a_file(farm_cli: FarmCli) -> None:
    os.mkfifo(farm_cli.home / "tasks.py")
    file = farm_cli.home / "batch.yaml"
    file.write_text("python: tasks.py:f\nparams: {count: 2}\n")
    ran = farm_cli.run("validate", file)
    assert ran.code == 2
    assert "batch.yaml:1:9" in ran.err
    assert "cannot read tasks.py: it is not a regular file" in ran.err


def test_an_import_of_a_directory_with_a_pipe_ends_at_once(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.worker("node")
    (farm_cli.home / "lines").write_text("a\n")
    assert farm_cli.run("submit", farm_cli.batch_file(ECHO % "lines"), "--wait").code == 0
    out = farm_cli.home / "out"
    assert farm_cli.run("export", "last", out).code == 0
    (out / "outcomes.jsonl").unlink()
    os.mkfifo(out / "outcomes.jsonl")
    ran = farm_cli.run("import", out)
    assert (ran.code, ran.out) == (2, "")
    assert f"cannot read {out / 'outcomes.jsonl'}: it is not a regular file" in ran.err


def test_keys_and_certificates_are_files(farm_cli: FarmCli) -> None:
    tls = farm_cli.home / "tls"
    assert farm_cli.run("keygen", "--tls", tls).code == 0
    authority = tls / "client" / "ca.pem"
    authority.unlink()
    os.mkfifo(authority)
    ran = farm_cli.run("status", "--tls", tls / "client", "--host", "127.0.0.1:9")
    assert ran.code == 2
    assert f"cannot use {authority}: it is not a regular file" in ran.err
    key = farm_cli.home / "key"
    os.mkfifo(key, 0o600)
    ran = farm_cli.run("status", "--authkey-file", key, "--host", "127.0.0.1:9")
    assert ran.code == 2
    assert f"the key file {key} is not a regular file" in ran.err


def test_a_journal_is_a_file(farm_cli: FarmCli, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.mkfifo(data / "journal.sqlite", 0o600)
    ran = farm_cli.run("serve", "--port", "0", "--data", data)
    assert ran.code == 2, ran.err
    assert str(data) in ran.err
    assert "bug" not in ran.err
