"""What each node did of each batch, since it was last summed up in the journal.

The sum over very many outcomes is not read at a start but kept in a table; and that is not written
with every outcome, but now and then, with the place of the last outcome that is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

_ADD = (
    "INSERT INTO shares VALUES (?, ?, ?, ?) ON CONFLICT (batch, node) DO UPDATE"
    " SET done = done + excluded.done, seconds = seconds + excluded.seconds"
)
_MARK = "INSERT OR REPLACE INTO meta VALUES ('summed', ?)"


class Shares:
    """Sums that are not in the journal's table yet.

    Args:
        known: what the journal has and its table lacks: batch, node, tasks done, their seconds.
        seq: place of the last outcome in the journal.
    """

    def __init__(self, known: Iterable[tuple[int, str, int, float]], seq: int) -> None:
        self._sums = {(batch, node): (done, seconds) for batch, node, done, seconds in known}
        self._seq = seq

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, seq: int, batch: int, node: str, done: int, seconds: float) -> None:
        """An outcome is recorded in this place, which is behind all others."""
        before, so_far = self._sums.get((batch, node), (0, 0.0))
        self._sums[batch, node] = before + done, so_far + seconds
        self._seq = max(self._seq, seq)

    def forget(self, batch: int) -> None:
        """Nothing of this batch is to come into the table any more."""
        for key in [key for key in self._sums if key[0] == batch]:
            del self._sums[key]

    def statements(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """What sums up, in the transaction of all that was added or in a later one."""
        for key, share in self._sums.items():
            yield _ADD, (*key, *share)
        yield _MARK, (str(self._seq),)

    def clear(self) -> None:
        """The statements were executed."""
        self._sums.clear()
