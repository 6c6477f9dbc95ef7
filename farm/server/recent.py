"""The outcomes that were recorded last, for those who follow a batch: they need not be read back
from the journal that they were just written to."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile

from farm.wire.messages import Outcome

MOST_BYTES = 4 * 1024 * 1024
MOST_ROWS = 1000
"""Of payloads, and of outcomes, that are kept; the oldest go."""


@dataclass(slots=True)
class _Known:
    """What is kept of a batch: each of its outcomes behind the place ``since``."""

    since: int
    rows: deque[tuple[int, Outcome]] = field(default_factory=deque)


class Recent:
    """What waits to be written, and then what was written last.

    Args:
        page_rows, page_bytes: what a page has at most, as one that is read from the journal; one
            outcome may have more bytes.
    """

    def __init__(self, page_rows: int, page_bytes: int) -> None:
        self._page_rows = page_rows
        self._page_bytes = page_bytes
        self._batches: dict[int, _Known] = {}
        self._order: deque[tuple[int, int]] = deque()  # batch and bytes of all that is kept
        self._bytes = 0
        self._pending: list[tuple[int, int, Outcome | None]] = []

    def add(self, batch: int, seq: int, outcome: Outcome) -> None:
        """It is about to be written, at that place in the order of recording."""
        self._pending.append((batch, seq, outcome))

    def change(self, batch: int) -> None:
        """Something else is about to be written of the batch's outcomes: what is kept is void."""
        self._pending.append((batch, 0, None))

    def written(self) -> None:
        """What was about to be written is."""
        for batch, seq, outcome in self._pending:
            if outcome is None:
                self._drop(batch)
            else:
                self._keep(batch, seq, outcome)
        self._pending.clear()

    def after(self, batch: int, seq: int) -> tuple[list[Outcome], int] | None:
        """A page of outcomes behind a place, and the place behind it; None if some are not here.

        Others will be given the same ones.
        """
        known = self._batches.get(batch)
        if known is None or seq < known.since:
            return None
        # Nearly always only the last one is asked for, and many are kept.
        behind = list(takewhile(lambda row: row[0] > seq, reversed(known.rows)))
        found: list[Outcome] = []
        size = 0
        while behind and size < self._page_bytes and len(found) < self._page_rows:
            seq, outcome = behind.pop()
            found.append(outcome)
            size += _size(outcome)
        return found, seq

    def _keep(self, batch: int, seq: int, outcome: Outcome) -> None:
        known = self._batches.get(batch)
        if known is None:
            known = self._batches[batch] = _Known(seq - 1)
        known.rows.append((seq, outcome))
        size = _size(outcome)
        self._order.append((batch, size))
        self._bytes += size
        while self._bytes > MOST_BYTES or len(self._order) > MOST_ROWS:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        batch, size = self._order.popleft()
        self._bytes -= size
        known = self._batches[batch]
        known.since, _ = known.rows.popleft()
        if not known.rows:
            del self._batches[batch]

    def _drop(self, batch: int) -> None:
        if self._batches.pop(batch, None) is not None:
            self._order = deque(one for one in self._order if one[0] != batch)
            self._bytes = sum(size for _, size in self._order)


def _size(outcome: Outcome) -> int:
    return len(outcome.payload) + len(outcome.seconds)
