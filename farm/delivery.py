"""What a node has to tell its server of its leases, until that has been journalled. Pure."""

from __future__ import annotations

import array
import itertools
from collections.abc import Callable, Iterable

import msgspec

from farm.batch.ranges import RangeSet
from farm.engines import base
from farm.shelf import Kept, Shelf
from farm.unable import UNHEARD
from farm.wire.frames import MAX_FRAME
from farm.wire.leases import Failed, Held, Part, Report, Unheard
from farm.wire.messages import MAX_ITEMS, Failure

MAX_REPORT_ITEMS = MAX_ITEMS
"""Parts, failures or ranges in one report: each takes the server a while."""

MAX_REPORT_BYTES = 8 * 1024 * 1024
"""Bytes of results in one report, and of failures (one thing at least)."""

PRESSING_BYTES = 1024 * 1024
"""Bytes of results that are told however short a while ago the last ones were."""

SPARE_BYTES = 64 * 1024
"""What a message needs beside the largest thing in it."""


class Finished(msgspec.Struct, frozen=True):
    """Tasks ``[start, stop)`` of a batch that are done."""

    batch: int
    start: int
    stop: int
    seconds: bytes
    payload: Kept
    size: int

    @property
    def weight(self) -> int:
        """Bytes that it has in a report."""
        return self.size + len(self.seconds)


class _Told(msgspec.Struct, frozen=True):
    """What one report said."""

    parts: list[Finished]
    failed: list[Failed]


class Delivery:
    """Outcomes on their way to the server.

    Args:
        shelf: keeps the results.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._parts: list[Finished] = []
        self._failed: list[Failed] = []
        self._returned: list[Held] = []
        self._told: dict[int, _Told] = {}  # reports that are not acknowledged, by their number
        self._marks = itertools.count(1)
        self.bytes = 0
        """Of results that are not acknowledged."""
        self.largest = MAX_FRAME
        """Bytes of the longest message that the server takes."""

    def done(self, part: base.Part) -> None:
        """Tasks are done."""
        kept, size = self._shelf.put(part.payload), len(part.payload)
        self.bytes += size
        self._parts.append(
            Finished(part.batch, part.start, part.stop, part.seconds, kept, size)
        )  # fmt: skip

    def failed(self, batch: int, index: int, seconds: float, failure: Failure) -> None:
        """An attempt failed."""
        self._failed.append(Failed(batch, index, seconds, failure, next(self._marks)))

    def give_back(self, batch: int, ranges: RangeSet) -> None:
        """These will not be run here."""
        given = list(ranges)
        for at in range(0, len(given), MAX_REPORT_ITEMS):
            self._returned.append(Held(batch, given[at : at + MAX_REPORT_ITEMS]))

    def drop(self, batch: int) -> None:
        """Nobody wants any more of a batch."""
        self._let_go(part for part in self._parts if part.batch == batch)
        self._parts = [part for part in self._parts if part.batch != batch]
        self._failed = [failed for failed in self._failed if failed.batch != batch]

    def results(self) -> dict[int, RangeSet]:
        """The tasks whose results are not acknowledged, by batch."""
        found: dict[int, RangeSet] = {}
        for part in self._all()[0]:
            found.setdefault(part.batch, RangeSet()).add(part.start, part.stop)
        return found

    def failures(self) -> list[Unheard]:
        """The failures that are not acknowledged."""
        return [Unheard(failed.batch, failed.index, failed.mark) for failed in self._all()[1]]

    def batches(self) -> set[int]:
        """Those of which outcomes are not acknowledged."""
        parts, failed = self._all()
        return {part.batch for part in parts} | {one.batch for one in failed}

    def _all(self) -> tuple[list[Finished], list[Failed]]:
        """Reported or not, oldest first."""
        parts = [part for told in self._told.values() for part in told.parts]
        failed = [failed for told in self._told.values() for failed in told.failed]
        return parts + self._parts, failed + self._failed

    def report(self, number: int) -> Report | None:
        """What to report now under this number, as much as fits one message; None for nothing.

        It is kept until it is `acknowledged`.
        """
        self._fail_oversized()
        if not self.waits:
            return None
        room = min(MAX_REPORT_BYTES, (self.largest - SPARE_BYTES) // 2)
        count = _fitting([part.weight for part in self._parts], room)
        parts, self._parts = self._parts[:count], self._parts[count:]
        count = _fitting([_weight(failed.failure) for failed in self._failed], room)
        if sum(part.weight for part in parts) > room:
            count = 0  # one large result goes alone
        failed, self._failed = self._failed[:count], self._failed[count:]
        count = _few([len(held.ranges) for held in self._returned])
        returned, self._returned = self._returned[:count], self._returned[count:]
        self._told[number] = _Told(parts, failed)
        read = self._shelf.read
        return Report(
            [Part(p.batch, p.start, p.stop, read(p.payload), p.seconds) for p in parts],
            failed,
            returned,
        )

    def _fail_oversized(self) -> None:
        """What the server would not take has failed, so that nobody runs it again and again."""
        most = self.largest - SPARE_BYTES
        for part in [part for part in self._parts if part.weight > most]:
            self._parts.remove(part)
            self._let_go([part])
            text = (
                f"the result is {part.size / (1 << 20):.1f} MiB when pickled, and the server takes "
                f"at most {self.largest / (1 << 20):.1f} MiB in a message (`farm serve "
                "--max-frame`); write it to a file and return its path"
            )
            seconds = array.array("f", part.seconds)
            for index, took in zip(range(part.start, part.stop), seconds, strict=True):
                self.failed(part.batch, index, took, Failure("error", "ResultTooLarge", text, ""))

    def acknowledged(self, number: int) -> None:
        """The server has journalled a report."""
        told = self._told.pop(number, None)
        if told is not None:
            self._let_go(told.parts)

    def refused(self, number: int, once: Callable[[int], bool]) -> None:
        """The server will never take a report: somebody runs its tasks again, if that may be.

        Args:
            number: the report's.
            once: whether the tasks of a batch must not run twice; they are lost then.
        """
        told = self._told.pop(number, None)
        if told is None:
            return
        self._let_go(told.parts)
        lost = [(part.batch, i) for part in told.parts for i in range(part.start, part.stop)]
        # What was refused as lost, too, is not said for ever.
        lost += [(f.batch, f.index) for f in told.failed if f.failure != UNHEARD]
        for batch, index in lost:
            if once(batch):
                self.failed(batch, index, 0.0, UNHEARD)

    def _let_go(self, parts: Iterable[Finished]) -> None:
        for part in parts:
            self.bytes -= part.size
            self._shelf.drop(part.payload)

    def disconnected(self) -> None:
        """The connection is lost: what was not acknowledged is to be reported again."""
        self._parts, self._failed = self._all()
        # What was given back need not be said again: it is not among what is held.
        self._returned = []
        self._told.clear()

    @property
    def waits(self) -> bool:
        """Whether there is something to report."""
        return bool(self._parts or self._failed or self._returned)

    @property
    def presses(self) -> bool:
        """Whether what there is to report does not keep: it is much, or others may run it."""
        items = len(self._parts) + len(self._failed)
        much = self.bytes >= PRESSING_BYTES or items >= MAX_REPORT_ITEMS
        return much or bool(self._returned)

    @property
    def empty(self) -> bool:
        """Whether everything is acknowledged."""
        return not (self.waits or self._told)


def _fitting(sizes: list[int], room: int) -> int:
    """How many of the first things fit into so many bytes: one at least, if there is one."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and (total > room or count == MAX_REPORT_ITEMS):
            return count
    return len(sizes)


def _few(numbers: list[int]) -> int:
    """How many of the first things have so many ranges together as one report may name."""
    total = 0
    for count, number in enumerate(numbers):
        total += number
        if count and total > MAX_REPORT_ITEMS:
            return count
    return len(numbers)


def _weight(failure: Failure) -> int:
    return len(failure.text) + len(failure.traceback) + len(failure.exception or b"")
