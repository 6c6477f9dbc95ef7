"""The fuzz run can fail: it finds what it looks for, and sends the same frames again."""

from __future__ import annotations

import contextlib
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fuzz import pickles
from fuzz.frames import FARM, ROLES, STRANGER, Frame, Script, framed
from fuzz.fuzzer import Fuzzer, play
from fuzz.run import Calls, Report
from fuzz.server import Server
from fuzz.talk import HOST

CHALLENGE = framed(b"#CHALLENGE#{sha256}" + b"c" * 40)
KEYS = dict.fromkeys(ROLES, b"k" * 32)


class Recorder(Fuzzer):
    """Sends nothing, and remembers what it would have sent."""

    def __init__(self, scripts: int) -> None:
        super().__init__(0, KEYS, 1 << 30)
        self.scripts: list[Script] = []
        self._most = scripts

    @property
    def over(self) -> bool:
        return len(self.scripts) >= self._most

    def run(self, script: Script) -> None:
        self.scripts.append(script)


def recorded(first: int) -> list[Script]:
    recorder = Recorder(30)
    play(recorder, "/canary", first)
    return recorder.scripts


def test_a_seed_gives_the_same_frames_again() -> None:
    scripts = recorded(5)

    # Numbers that are none are not equal to themselves, but bytes are.
    assert recorded(5) == scripts
    assert recorded(6) != scripts
    kinds = {frame.kind.partition(":")[0] for script in scripts for frame in script.frames}
    assert kinds == {"stranger", "manager", "plain", "farm"}


@pytest.mark.parametrize("number", range(len(pickles.executing("canary"))))
def test_a_pickle_that_executes_something_does_so_elsewhere(tmp_path: Path, number: int) -> None:
    canary = tmp_path / "canary"
    data = pickles.executing(str(canary))[number]
    script = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"

    subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, timeout=30)

    assert canary.exists()


@pytest.fixture
def pretender() -> Iterator[Callable[[bytes, bool], int]]:
    """A server that challenges, says something, and closes or not; its port."""
    stack = contextlib.ExitStack()

    def start(said: bytes, closes: bool) -> int:
        listener = stack.enter_context(socket.create_server((HOST, 0)))
        over = threading.Event()
        stack.callback(over.set)

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(CHALLENGE)
                sock.recv(4096)
                sock.sendall(said)
                if not closes:
                    over.wait(30)

        thread = threading.Thread(target=serve)
        thread.start()
        stack.callback(thread.join)
        stack.callback(over.set)
        return int(listener.getsockname()[1])

    with stack:
        yield start


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"", None),
        (framed(b"#FAILURE#"), None),
        (framed(b"#REFUSED#busy#come again later"), None),
        (framed(b"#WELCOME#"), "a stranger was told"),
        (framed(pickle.dumps(("#TRACEBACK", "Traceback (most recent call last)"))), "Traceback"),
        (b"\xff\xff\xff\xfe", "a frame of -2 bytes"),
        (b"Traceback", "a frame of"),
    ],
)
def test_what_a_stranger_must_not_be_told_is_noticed(
    pretender: Callable[[bytes, bool], int], said: bytes, problem: str | None
) -> None:
    fuzzer = Fuzzer(pretender(said, True), KEYS, 1)

    fuzzer.run(Script(STRANGER, "admin", (Frame("stranger: garbage", framed(b"x")),)))

    assert [problem in found for found in fuzzer.problems] == ([] if problem is None else [True])


def test_a_connection_that_stays_open_is_noticed(
    pretender: Callable[[bytes, bool], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fuzz.talk.PATIENCE", 0.2)
    fuzzer = Fuzzer(pretender(b"", False), KEYS, 1)

    fuzzer.run(Script(STRANGER, "admin", (Frame("stranger: garbage", framed(b"x")),)))

    (problem,) = fuzzer.problems
    assert problem.startswith("the server does not close")


def test_a_server_that_is_no_server_is_noticed(pretender: Callable[[bytes, bool], int]) -> None:
    fuzzer = Fuzzer(pretender(framed(b"#FAILURE#"), True), KEYS, 1)

    fuzzer.run(Script(FARM, "admin", (Frame("farm: garbage", framed(b"x")),)))

    (problem,) = fuzzer.problems
    assert "instead of a welcome" in problem


def good_report() -> Report:
    calls = [(0.01 * n, 0.001) for n in range(3000)]
    report = Report(1, before=50_000_000, peak=60_000_000)
    report.crowd = {"least": {"silent": 200, "slow": 200}, "came": {"silent": 400, "slow": 300}}
    report.calls = [Calls("farm", calls, []), Calls("plain", list(calls), [])]
    return report


def slow_for_a_while(report: Report) -> None:
    report.calls[0].calls[1000:1020] = [(10.5, 0.06)] * 20


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda report: setattr(report, "after", 0), None),
        (lambda report: setattr(report, "peak", 100_000_000), "grew by 50.0 MB"),
        (lambda report: report.crowd["least"].update(silent=199), "not 200 silent"),
        (lambda report: report.crowd["least"].pop("slow"), "not 200 slow"),
        (lambda report: report.calls[1].calls.extend([(1.0, 0.05)] * 40), "plain client's p99"),
        (slow_for_a_while, "farm client's p99 was 60.0 ms"),
        (lambda report: report.calls[0].calls.clear(), "farm client had no answer"),
        (lambda report: report.calls[0].lost.append("lost"), "farm client: lost"),
    ],
)
def test_each_bound_is_looked_at(harm: Callable[[Report], None], problem: str | None) -> None:
    report = good_report()
    harm(report)

    report.check()

    assert [problem in found for found in report.problems] == ([] if problem is None else [True])


def test_what_a_log_complains_of_is_found(tmp_path: Path) -> None:
    server = Server.__new__(Server)
    server.errors = tmp_path / "server.log"
    server.errors.write_text(
        "2026-01-02 03:04:05,678 WARNING 127.0.0.1:4711: cut off: no first request within 5 s\n"
        "2026-01-02 03:04:05,678 ERROR   127.0.0.1:4712: Join could not be served\n"
        "Traceback (most recent call last):\n"
        '  File "/farm/server/peers.py", line 1, in _guarded\n'
        "    step()\n"
        "ValueError: that is not a range\n"
    )

    assert server.complaints() == [
        "the server's log, 1 times: ERROR   : Join could not be served",
        "the server's log, 1 times: ValueError: that is not a range",
    ]
