"""The command line of `scripts/bench`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import disk, machine, report, table
from benchmarks.case import Plan
from benchmarks.cases import CASES
from benchmarks.runner import Outcome, Scope, run_case

DESCRIPTION = """\
Measure farm and its peers in the same run, on the same work. Prints every figure, the ratios of
farm's to those of its peers (medians of the ratios of each repeat), and whether limits were kept.
A peer that is not installed, or does not start, is left out. Fails if a limit is missed."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, which a shell gives to what the signal ends."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; ends the program where it is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=DESCRIPTION)
    parser.add_argument(
        "--only", action="append", choices=CASES, metavar="NAME",
        help=f"measure this alone; can be given more than once: {', '.join(CASES)}",
    )  # fmt: skip
    parser.add_argument("--repeats", type=_positive, help="of each side, instead of each case's")
    parser.add_argument(
        "--scale", type=_share, default=1.0,
        help="the share of the full sizes; below 1 it is a trial, and no missed limit fails it",
    )  # fmt: skip
    parser.add_argument("--huge-tasks", type=_positive, default=Plan.huge, help="of the case huge")
    parser.add_argument("--without-peers", action="store_true", help="measure farm alone")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="for the JSON; else said at the end"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a table there, too")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"it is a number of at least 1, not {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"it is above 0 and at most 1, not {text!r}")
    return share


def main(arguments: list[str]) -> int:
    """Measure, print, write; the exit code."""
    options = parse(arguments)
    blocks = Plan(Path(), options.scale).of(disk.BLOCKS)
    where = machine.describe(Path(tempfile.gettempdir()), blocks)
    versions = machine.versions()
    print(report.head(where, versions), flush=True)
    scope = Scope(options.scale, options.huge_tasks, options.repeats, not options.without_peers)
    outcomes: list[Outcome] = []
    for name in [name for name in CASES if name in (options.only or CASES)]:
        outcomes.append(run_case(CASES[name], scope, _say))
        print("\n" + "\n".join(report.lines(outcomes[-1])), flush=True)
        _write(options, outcomes, where, versions)
    print(f"\nAll values are in {options.json}")
    return _verdict(outcomes, is_trial=options.scale < 1)


def _say(what: str) -> None:
    """Progress, which is no result."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def _write(
    options: argparse.Namespace,
    outcomes: list[Outcome],
    where: dict[str, object],
    versions: dict[str, str],
) -> None:
    """After each case, so that a run which is broken off has not been in vain."""
    found = report.document(outcomes, where, versions, scale=options.scale)
    if options.json is None:
        options.json = Path(tempfile.mkdtemp(prefix="farm-bench-")) / "bench.json"
    options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.markdown is not None:
        text = table.markdown(outcomes, where, versions, remark=_remark(options))
        options.markdown.write_text(text, encoding="utf-8")


def _remark(options: argparse.Namespace) -> str:
    """Where a run was not the whole one, a table must say so."""
    share = f"a trial with {options.scale:g} of the full sizes" if options.scale < 1 else ""
    fewer = f"{options.huge_tasks:,} tasks in the case `huge`"
    return ", ".join(filter(None, (share, fewer if options.huge_tasks != Plan.huge else "")))


def _verdict(outcomes: list[Outcome], *, is_trial: bool) -> int:
    failed = [outcome for outcome in outcomes if outcome.error]
    missed = report.missed(outcomes)
    print("\n".join(missed or ["Every limit was kept."]))
    if is_trial:
        print("This was a trial at a smaller scale: limits are shown, and fail nothing.")
        return int(bool(failed))
    return int(bool(missed))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
