"""What `scripts/fuzz` runs, and the tests: hostile frames at a live server, and what they cost."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farm.errors import FarmError
from fuzz import fuzzer
from fuzz.server import Process, Server, batch_problems

SILENT, SLOW = 200, 200
MAX_GROWTH = 50_000_000
MAX_P99 = 0.050
WARM_UP = 500
"""Frames before memory is first looked at, with a seed of their own; they are not counted."""

PATIENCE, FRAME_SECONDS = 60.0, 0.005
"""What the attackers may take, and beside it for each frame; then the run is broken off."""

ATTACKERS = 2
SEEDS_APART = 1_000_000

WINDOW = 10.0
"""Seconds: the 99th percentile is that of the worst such stretch, too."""

SHOWN = 3000
"""Letters of a script that are printed; all of it is in a file."""

LOOK_SECONDS = 0.1
MIN_SECONDS = 6.0
"""Less than this, and the silent peers would not have been cut off once."""


@dataclass
class Calls:
    """How long the calls of a well-behaved client took, in seconds."""

    kind: str
    calls: list[tuple[float, float]]
    lost: list[str]

    def quantile(self, share: float) -> float:
        """The time that this share of the calls did not exceed."""
        return quantile([took for _, took in self.calls], share)

    def worst_window(self) -> float:
        """The 99th percentile of the worst stretch."""
        windows: dict[int, list[float]] = {}
        for began, took in self.calls:
            windows.setdefault(int(began / WINDOW), []).append(took)
        full = [took for took in windows.values() if len(took) >= 100]
        return max((quantile(took, 0.99) for took in full), default=0.0)


def _short(problem: str) -> str:
    lines = problem.splitlines()
    return "\n".join(f"{line[:SHOWN]} ..." if len(line) > SHOWN else line for line in lines)


def quantile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed (the nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass
class Report:
    """What was done, and what came of it; memory in bytes."""

    seed: int
    sent: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    answers: int = 0
    fuzzing: float = 0.0
    seconds: float = 0.0
    before: int = 0
    peak: int = 0
    after: int = 0
    crowd: dict[str, Any] = field(default_factory=dict)
    calls: list[Calls] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """How many were sent in all."""
        return self.sent.total()

    @property
    def growth(self) -> int:
        """By how much the server's memory grew at most."""
        return self.peak - self.before

    def add(self, done: dict[str, Any]) -> None:
        """What one attacker has done."""
        self.sent.update(done["sent"])
        self.connections += done["connections"]
        self.answers += done["answers"]
        self.problems += done["problems"]

    def text(self) -> str:
        """For people."""
        lines = [f"seed {self.seed}, {self.seconds:.0f} s, {self.frames:,} frames:"]
        lines += [f"  {count:7,} {kind}" for kind, count in sorted(self.sent.items())]
        lines.append(
            f"on {self.connections:,} connections in {self.fuzzing:.0f} s, {self.answers:,} answers"
        )
        least, came = self.crowd.get("least", {}), self.crowd.get("came", {})
        lines += [
            f"{kind} peers: never less than {least[kind]}, {came[kind]:,} connections"
            for kind in sorted(least)
        ]
        lines += [
            f"a client ({calls.kind}) meanwhile: {len(calls.calls):,} calls, "
            f"p50 {1000 * calls.quantile(0.5):.1f} ms, p99 {1000 * calls.quantile(0.99):.1f} ms "
            f"(in the worst {WINDOW:g} s {1000 * calls.worst_window():.1f} ms), "
            f"at most {1000 * calls.quantile(1.0):.0f} ms"
            for calls in self.calls
        ]
        lines.append(
            f"the server's memory: {self.before / 1e6:.1f} MB before, {self.peak / 1e6:.1f} MB at "
            f"most, {self.after / 1e6:.1f} MB after: {self.growth / 1e6:+.1f} MB"
        )
        verdict = [f"BROKEN: {_short(problem)}" for problem in self.problems]
        verdict = verdict or ["Everything held."]
        return "\n".join([*lines, *verdict])

    def check(self) -> None:
        """Whether the bounds were kept."""
        if self.growth >= MAX_GROWTH:
            self.problems.append(f"the server grew by {self.growth / 1e6:.1f} MB")
        for kind, wanted in (("silent", SILENT), ("slow", SLOW)):
            if self.crowd.get("least", {}).get(kind, 0) < wanted:
                self.problems.append(f"there were not {wanted} {kind} peers throughout")
        for calls in self.calls:
            p99 = max(calls.quantile(0.99), calls.worst_window())
            if p99 >= MAX_P99:
                self.problems.append(f"a {calls.kind} client's p99 was {1000 * p99:.1f} ms")
            if not calls.calls:
                self.problems.append(f"a {calls.kind} client had no answer")
            self.problems += [f"a {calls.kind} client: {line}" for line in calls.lost]


def run(directory: Path, seed: int, frames: int) -> Report:
    """Send frames, then look at what is left.

    Args:
        directory: an empty one; it stays.
        seed: chooses the frames. When they come between those of others it does not choose.
        frames: how many.
    """
    report = Report(seed)
    began = time.monotonic()
    with ExitStack() as stack:
        server = _started(stack, Server(directory))
        try:
            _attack(stack, server, report, frames)
            _look_around(server, report)
        except (RuntimeError, FarmError, OSError) as error:
            report.problems += [f"the run was broken off: {error}", *server.complaints()]
    report.seconds = time.monotonic() - began
    return report


def _attack(stack: ExitStack, server: Server, report: Report, frames: int) -> None:
    directory, canary = server.directory, server.directory / "canary"
    where = (server.port, server.key_file)
    opener = fuzzer.Fuzzer(server.port, fuzzer.read_keys(server.key_file), WARM_UP)
    fuzzer.open_up(opener)
    crowd = _started(stack, Process(directory, "crowd", "fuzz.crowd", *where, SILENT, SLOW))
    crowd.line()
    probes = [
        _started(stack, Process(directory, f"probe-{kind}", "fuzz.probe", kind, *where))
        for kind in ("farm", "plain")
    ]
    for probe in probes:
        probe.line()
    fuzzer.play(opener, str(canary), report.seed - SEEDS_APART)
    report.problems += opener.problems
    report.before = server.memory()
    with _watched(server, report):
        began = time.monotonic()
        shares = [frames // ATTACKERS + (n < frames % ATTACKERS) for n in range(ATTACKERS)]
        attackers = [
            _started(
                stack,
                Process(
                    directory, f"fuzzer-{number}", "fuzz.fuzzer", *where, canary,
                    report.seed + SEEDS_APART * number, share,
                ),
            )
            for number, share in enumerate(shares)
        ]  # fmt: skip
        for attacker in attackers:
            report.add(json.loads(attacker.line(PATIENCE + frames * FRAME_SECONDS)))
        report.fuzzing = time.monotonic() - began
        time.sleep(max(0.0, MIN_SECONDS - report.fuzzing))
        report.calls = [
            Calls(kind, **probe.end())
            for kind, probe in zip(("farm", "plain"), probes, strict=True)
        ]
        report.crowd = crowd.end()
    if canary.exists():
        report.problems.append("what a frame held was executed")


@contextmanager
def _watched(server: Server, report: Report) -> Iterator[None]:
    """Remember the most memory that the server took meanwhile."""
    over = threading.Event()

    def watch() -> None:
        with suppress(RuntimeError):  # that the server has ended is found out below, too
            while not over.wait(LOOK_SECONDS):
                report.peak = max(report.peak, server.memory())

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    # What was there between two looks: the kernel remembers the most since the beginning.
    report.peak = max(report.peak, server.memory("VmHWM"))
    report.after = server.memory()


def _look_around(server: Server, report: Report) -> None:
    """The bounds, and whether the server is as it was."""
    report.check()
    report.problems += batch_problems(server)
    code = server.terminate()
    if code != 0:
        report.problems.append(f"the server ended with {code} when it was told to stop")
    report.problems += server.complaints()


def _started(stack: ExitStack, process: Any) -> Any:
    stack.callback(process.kill)
    return process


def main() -> int:
    """Run, print, and tell whether everything held."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, help="chooses the frames; random if not given")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="farm-fuzz-"))
    report = run(directory, seed, given.frames)
    print(report.text())
    if report.problems:
        (directory / "problems").write_text("\n\n".join(report.problems))
        print(f"What the processes said, and the journal: {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
