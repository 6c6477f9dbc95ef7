"""One measurement of one side, in a process of its own: what `runner.py` starts.

`python -m benchmarks.side CASE SIDE SCALE HUGE DIRECTORY` writes ``result.json`` there, as
`read_result` reads it. It is a file because peers print what they like.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

from benchmarks.case import AbsentError, Measured, Plan
from benchmarks.cases import CASES

RESULT = "result.json"


def measure(case: str, side: str, plan: Plan) -> dict[str, object]:
    """What a side measured, or why it did not."""
    try:
        return {"measured": CASES[case].sides[side](plan)}
    except ModuleNotFoundError as error:
        return {"absent": f"it is not installed ({error})"}
    except AbsentError as error:
        return {"absent": str(error)}
    except Exception as error:
        # Whatever a peer raises is a line of the report; the whole of it is in the log.
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}


def read_result(directory: Path) -> tuple[Measured, str, str]:
    """What was measured, why the side is absent, and why it failed: one of the three."""
    try:
        found = json.loads((directory / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, "", "it has ended without a result"
    return found.get("measured", {}), found.get("absent", ""), found.get("failed", "")


def main() -> None:
    """Measure what the command line names."""
    case, side, scale, huge, directory = sys.argv[1:]
    plan = Plan(Path(directory), float(scale), int(huge))
    text = json.dumps(measure(case, side, plan))
    (plan.directory / RESULT).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
