"""How commands end when they are told to, or cannot say what they have to say."""

import signal
import subprocess
import sys

import pytest
from functional_farm import SECONDS, FarmCli, Ran, wait_until

SLEEPER = "import time\ndef f():\n    time.sleep(600)\n"


def in_shell(
    cli: FarmCli, redirection: str, *arguments: str, env: dict[str, str] | None = None
) -> Ran:
    """Run a command with its output redirected by a shell."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "farm", *arguments],
        env=cli.environment(env),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_a_closed_output_is_no_error(farm_cli: FarmCli) -> None:
    assert in_shell(farm_cli, ">&-", "schema") == Ran(0, "", "")


def test_a_full_output_is_said_in_one_line(farm_cli: FarmCli) -> None:
    ran = in_shell(farm_cli, ">/dev/full", "schema")
    assert ran == Ran(2, "", "Error: cannot write the output: No space left on device\n")


@pytest.mark.parametrize(
    "arguments", [("-h",), ("run", "-h"), ("--version",), ("validate", "FILE")]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_whatever_writes_to_a_full_output(
    farm_cli: FarmCli, arguments: tuple[str, ...], unbuffered: str
) -> None:
    file = str(farm_cli.batch_file('command: ["true"]'))
    line = [file if one == "FILE" else one for one in arguments]
    ran = in_shell(farm_cli, ">/dev/full", *line, env={"PYTHONUNBUFFERED": unbuffered})
    assert ran == Ran(2, "", "Error: cannot write the output: No space left on device\n")


def test_a_device_that_is_full(farm_cli: FarmCli) -> None:
    ran = farm_cli.run("run", farm_cli.batch_file('command: ["true"]'), "-q", "-o", "/dev/full")
    assert (ran.code, ran.err) == (2, "Error: cannot write /dev/full: No space left on device\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_run_that_is_told_to_end(farm_cli: FarmCli, number: int, code: int) -> None:
    started = farm_cli.start("run", farm_cli.batch_file("python: tasks.py:f", SLEEPER))
    wait_until(lambda: "0/1" in started.err)
    started.signal(number)
    ran = started.wait()
    assert ran.code == code, ran.err
    assert "stopped: 0 of 1 task had ended" in ran.err
    assert not farm_cli.wait_for_no_process()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_wait_that_is_told_to_end_leaves_the_batch(
    farm_cli: FarmCli, number: int, code: int
) -> None:
    farm_cli.serve()
    started = farm_cli.start("submit", "--wait", farm_cli.batch_file("python: tasks.py:f", SLEEPER))
    wait_until(lambda: "0/1" in started.err)
    started.signal(number)
    ran = started.wait()
    assert ran.code == code, ran.err
    assert "batch 1 goes on; `farm cancel 1` stops it" in ran.err
    assert farm_cli.status()["state"] == "waiting"  # for nodes


def test_an_ignored_hangup_stays_ignored(farm_cli: FarmCli) -> None:
    file = farm_cli.batch_file("python: tasks.py:f", "import time\ndef f():\n    time.sleep(1)\n")
    line = [sys.executable, "-m", "farm", "run", str(file)]
    process = subprocess.Popen(
        ["nohup", *line], env=farm_cli.environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=farm_cli.home,
    )  # fmt: skip
    wait_until(lambda: sum("node" in line for line in farm_cli.processes().values()))
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, out


def test_a_worker_whose_terminal_closes_says_what_it_waits_for(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    node = farm_cli.worker("a", "--grace", "600")
    file = farm_cli.batch_file("python: tasks.py:f", SLEEPER)
    farm_cli.run("submit", file)
    wait_until(lambda: farm_cli.status()["running"] == 1)
    node.signal(signal.SIGHUP)
    wait_until(lambda: "running tasks have 600 s; once more stops at once" in node.err)
    node.signal(signal.SIGHUP)
    ran = node.wait()
    assert (ran.code, ran.err.count("stopping")) == (0, 1)
    assert farm_cli.run("nodes", "--json").json["nodes"][0]["state"] == "left"


@pytest.mark.parametrize("command", ["run", "results"])
def test_an_ending_that_farm_does_not_write(farm_cli: FarmCli, command: str) -> None:
    # There is no server: it is refused before one is looked for.
    what = str(farm_cli.batch_file('command: ["true"]')) if command == "run" else "last"
    ran = farm_cli.run(command, what, "--output", farm_cli.home / "x.xlsx")
    assert ran.code == 2
    assert "farm writes .jsonl and .csv, not .xlsx" in ran.err


def test_a_format_that_is_given_allows_any_name(farm_cli: FarmCli) -> None:
    farm_cli.serve()
    farm_cli.run("submit", farm_cli.batch_file('command: ["true"]'))
    target = farm_cli.home / "x.xlsx"
    ran = farm_cli.run("results", "last", "--output", target, "--format", "csv")
    assert ran.code == 0, ran.err
    assert target.read_text().startswith("index,status,")
