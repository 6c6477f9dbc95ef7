"""The batches that are counted, and a client that watches each of them as it goes on."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from chaos import tasks
from farm.client.batch import Batch
from farm.client.outcome import Outcome
from farm.client.session import Session
from farm.errors import FarmError

Row = tuple[int, str, object, str, float, int]
"""All that a client sees of a task: index, status, value, node, seconds, attempts."""


class Counted:
    """A batch whose every execution is counted.

    Args:
        session: to submit with.
        directory: for its file, and for the marks that its tasks leave.
        name: unique; the batch's.
        task: a function of `chaos.tasks`, which takes ``index`` and ``directory``.
        total: how many tasks.
        given: further parameters, the same for all tasks.
        ballast: bytes that travel with the batch and are journalled, for nothing.
    """

    def __init__(
        self,
        session: Session,
        directory: Path,
        name: str,
        task: str,
        total: int,
        given: Mapping[str, float],
        ballast: int = 0,
    ) -> None:
        self.name, self.total = name, total
        self.marks = directory / f"marks-{name}"
        self.marks.mkdir()
        code = Path(tasks.__file__).read_text(encoding="utf-8")
        (directory / f"{name}.py").write_text(f"{code}# {name} {'.' * ballast}\n", encoding="utf-8")
        values = {"directory": f'["{self.marks}"]', **{k: f"[{v}]" for k, v in given.items()}}
        lines = [f"name: {name}", f"python: {name}.py:{task}", "params:", "  matrix:"]
        lines.append(f"    index: {{range: [0, {total}]}}")
        lines += [f"    {key}: {value}" for key, value in values.items()]
        path = directory / f"{name}.yaml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.id = session.submit(path).id
        self.seen: list[Row] = []
        self.trouble: FarmError | None = None
        self._watching: threading.Thread | None = None

    def watch(self, batch: Batch) -> None:
        """Remember what a client sees, in the order in which it is shown."""

        def run() -> None:
            try:
                for outcome in batch.outcomes():
                    self.seen.append(row(outcome))
            except FarmError as error:
                self.trouble = error

        self._watching = threading.Thread(target=run, name=f"chaos-{self.name}", daemon=True)
        self._watching.start()

    @property
    def watched(self) -> float:
        """Which share of the tasks the client has seen."""
        return len(self.seen) / self.total

    @property
    def over(self) -> bool:
        """Whether the client has been told that there is no more to see."""
        return self._watching is not None and not self._watching.is_alive()


def row(outcome: Outcome) -> Row:
    """What is compared of an outcome."""
    return (
        outcome.index,
        outcome.status,
        outcome.value,
        outcome.node,
        outcome.seconds,
        outcome.attempts,
    )
