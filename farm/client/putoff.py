"""Requests that the server refuses for the moment: which are sent again, when, and for how long.

Without I/O and without a clock: time is passed in.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

from farm.wire.controls import Forget
from farm.wire.messages import Append, Cancel, GetOutcomes, Message, Refused, Submit

log = logging.getLogger("farm.client")

BUSY_PAUSE = 0.2
BUSY_SECONDS = 30.0
"""A request that the server is too busy for is sent again after a pause, for so long."""

JOURNAL_SECONDS = 300.0
"""For so long some requests are sent again that a server refuses whose journal cannot be written:
its disk may be full for a while."""

_CAN_WAIT = (Append, Submit, Cancel, Forget)
"""Which; of those that somebody waits for only blocks: he is to hear that the disk is full."""

LONGEST_PAUSE = 5.0
"""What may have to wait for long is sent again after pauses that double up to this one."""


@dataclass(slots=True)
class _Refusal:
    """What a request that waits has met.

    Args:
        since: when it was refused first.
        limit: seconds from then on after which it is given up; the longest of those of its codes.
        pause: seconds before it is sent again.
        stalled: whether the journal was the reason once.
    """

    since: float
    limit: float = 0.0
    pause: float = 0.0
    stalled: bool = False


class PutOff:
    """The requests of one connection that wait to be sent again, by number."""

    def __init__(self) -> None:
        self._refusals: dict[int, _Refusal] = {}
        self._again: list[tuple[float, int, int]] = []  # a heap: when, and in which order, which
        self._order = itertools.count()
        self._stalled = 0  # requests that the journal keeps waiting

    def __len__(self) -> int:
        """How many wait."""
        return len(self._again)

    def takes(
        self,
        number: int,
        request: Message | None,
        body: Message,
        now: float,
        *,
        awaited: bool = True,
    ) -> bool:
        """Whether an answer means that the request is to be sent once more, a little later.

        Args:
            number: of the request.
            request: what was asked; None if nobody waits for an answer any more.
            body: the answer.
            now: seconds on a clock that only goes forward.
            awaited: whether somebody waits for the answer, and for nothing else.
        """
        limit = _limit(request, body, awaited)
        if limit is None or not isinstance(body, Refused):
            self._settled(number)
            return False
        refusal = self._refusals.setdefault(number, _Refusal(now))
        refusal.limit = max(refusal.limit, limit)
        if now > refusal.since + refusal.limit:
            self._settled(number)
            return False
        if body.code == "journal":
            self._note(refusal, body)
        refusal.pause = _pause(refusal.pause, limit)
        heapq.heappush(self._again, (now + refusal.pause, next(self._order), number))
        return True

    def _note(self, refusal: _Refusal, body: Refused) -> None:
        if refusal.stalled:
            return
        if not self._stalled:
            log.warning("trying again for %g s at most: %s", JOURNAL_SECONDS, body.text)
        refusal.stalled = True
        self._stalled += 1

    def _settled(self, number: int) -> None:
        refusal = self._refusals.pop(number, None)
        if refusal is not None and refusal.stalled:
            self._stalled -= 1

    def seconds(self, now: float, most: float) -> float:
        """Seconds until the next one is to be sent, ``most`` if that is later or there is none."""
        return max(0.0, min(most, self._again[0][0] - now)) if self._again else most

    def due(self, now: float) -> Iterator[int]:
        """Take out those that are to be sent by now, in the order in which they were refused."""
        while self._again and self._again[0][0] <= now:
            yield heapq.heappop(self._again)[2]

    def clear(self) -> None:
        """All are sent on another connection: what this one refused says nothing there."""
        self._refusals.clear()
        self._again.clear()
        self._stalled = 0


def _limit(request: Message | None, body: Message, awaited: bool) -> float | None:
    """Seconds for which a request is sent again after this answer; None if it is not.

    The server was too busy for it, or for one that it follows. One that follows a batch is refused
    while others of the connection wait: it has its turn when they are over, whenever that is.
    """
    if request is None or not isinstance(body, Refused):
        return None
    if body.code == "busy" and isinstance(request, GetOutcomes) and request.follow:
        return math.inf
    if body.code == "journal":
        return JOURNAL_SECONDS if isinstance(request, Append if awaited else _CAN_WAIT) else None
    return BUSY_SECONDS if body.code in ("busy", "early") else None


def _pause(last: float, limit: float) -> float:
    """Seconds until it is sent again, the same for all that are not to wait for long."""
    if limit == BUSY_SECONDS or not last:
        return BUSY_PAUSE
    return min(2 * last, LONGEST_PAUSE)
