"""What progress says, and how often, without a terminal."""

from typing import Any

from fake_status import status

from farm.cli.output import Json, Tables
from farm.cli.progress import LINE_SECONDS, _Lines, follow, words
from farm.cli.statuses import left
from farm.wire.messages import Status


def test_words() -> None:
    assert words(status()) == "50/100, 5/s, 10.0 s left"
    assert (
        words(status(failed=10, total=1_000_060)) == "60/1,000,060, 10 failed, 6/s, 1 d 22 h left"
    )
    assert words(status(state="done", done=100, ended=1020.0)) == "100/100, 5/s, 20.0 s"
    waiting = status(state="waiting", done=0, started=0.0)
    assert words(waiting) == "0/100, waiting for nodes"
    deserted = status(served=False)
    assert words(deserted) == "50/100, waiting for nodes"
    assert left(deserted) is None
    assert "waiting" not in words(status(served=False, running=1, pending=49))
    assert "waiting" not in words(status(served=False, state="done", done=100, ended=1010.0))
    assert words(status(done=0)) == "0/100"


def test_words_of_a_paused_batch() -> None:
    paused = status(batch=3, state="paused", paused=True)
    assert words(paused) == "50/100, paused (`farm resume 3` goes on)"
    paused.running = 2
    assert words(paused) == "50/100, paused, 2 still running (`farm resume 3` goes on)"


def test_lines_come_first_last_and_now_and_then() -> None:
    now, said = [100.0], list[str]()
    lines = _Lines(said.append, lambda: now[0])

    for second in range(12):
        now[0] = 100.0 + second
        lines.show(status(done=second))
    lines.show(status(state="done", done=100))

    assert LINE_SECONDS == 5.0
    assert [line.split("/")[0] for line in said] == ["b: 0", "b: 5", "b: 10", "b: 100"]


class _Batch:
    """A batch that ends at the third look."""

    def __init__(self) -> None:
        self.looks: list[float] = []

    def status(self, wait: float = 0.0) -> Status:
        self.looks.append(wait)
        return status() if len(self.looks) < 3 else status(state="done", done=100, ended=1020.0)

    def wait(self) -> Status:
        return status(state="done")


def test_it_follows_to_the_end(capsys: Any) -> None:
    batch: Any = _Batch()

    assert follow(batch, Tables()).state == "done"
    assert batch.looks[0] == 0.0
    assert all(0.2 <= wait <= 0.5 for wait in batch.looks[1:])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["b: 50/100, 5/s, 10.0 s left", "b: 100/100, 5/s, 20.0 s"]


def test_programs_are_not_shown_any(capsys: Any) -> None:
    batch: Any = _Batch()

    assert follow(batch, Json()).state == "done"
    assert (batch.looks, capsys.readouterr()) == ([], ("", ""))
