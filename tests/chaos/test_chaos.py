"""Every kind of harm once or more to a farm of real processes, then the count.

FARM_CHAOS_SEED chooses other harm; `scripts/chaos` does much more of it.
"""

from __future__ import annotations

import os
from pathlib import Path

from chaos.run import run, short

SEED = int(os.environ.get("FARM_CHAOS_SEED", "1"))
SECONDS = 90.0


def test_every_task_is_counted_once_whatever_dies(tmp_path: Path) -> None:
    report = run(tmp_path, SEED, short(SEED), SECONDS, print)
    assert not report.problems, report.text()
    planned = short(SEED)
    count = sum(map(sum, (plan.values() for plan in (planned.first_plan, *planned.plans))))
    assert report.faults.total() == count + planned.submissions
