"""Leases that outlive the server: those of batches whose tasks nobody else may be given in between.

Most leases are not journalled (see `farm.server.recovery`); `Batch.binding` says which are.
"""

from __future__ import annotations

from collections.abc import Iterable

from farm.batch.ranges import RangeSet
from farm.server.journal import Journal
from farm.server.ledger import Ledger
from farm.server.states import Range


class Bonds:
    """Keeps the journal's table of leases as the ledger is.

    Args:
        journal: is written.
        ledger: says who holds what.
    """

    def __init__(self, journal: Journal, ledger: Ledger) -> None:
        self._journal = journal
        self._ledger = ledger

    def tie(self, node: int, token: str, batch: int, ranges: Iterable[Range]) -> None:
        """The node holds these, if the batch's leases bind."""
        if self._ledger.batches[batch].binding:
            name = self._ledger.nodes[node].name
            for index in (index for part in ranges for index in range(*part)):
                self._journal.add_begun(batch, index, token, name)

    def untie(self, batch: int, ranges: Iterable[Range]) -> None:
        """Nobody holds these any more: they have an outcome, or came back."""
        if self._ledger.batches[batch].binding:
            for part in ranges:
                self._journal.drop_begun(batch, *part)

    def of(self, node: int) -> dict[int, RangeSet]:
        """What a node holds by leases that bind, by batch."""
        batches = [self._ledger.batches[batch] for batch in self._ledger.nodes[node].batches]
        return {state.id: state.leased[node].copy() for state in batches if state.binding}
