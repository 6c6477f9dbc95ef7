"""Long answers are made in rounds, a step for each who asked, and for a few milliseconds at a time.

So that whoever asks for very much, on however many connections, waits for it himself, and the
others do not.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable

log = logging.getLogger("farm.server")

SLICE_SECONDS = 0.005
"""For so long, and one step more, steps are made; then the loop hears what has come meanwhile."""

Step = Callable[[], bool]
"""Makes the next bit of an answer; says whether there is more to make."""


class Rounds:
    """What is still to be made, by who asked.

    Args:
        now: seconds on a clock that only goes forward.

    Example:
        >>> rounds = Rounds(time.monotonic)                     # doctest: +SKIP
        >>> rounds.add("authkey.view", step)                    # doctest: +SKIP
        >>> rounds.run()                                        # doctest: +SKIP
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._asked: OrderedDict[str, deque[Step]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._asked)

    def add(self, who: str, step: Step) -> None:
        """Somebody is to have a long answer; the steps of each are made in turn."""
        self._asked.setdefault(who, deque()).append(step)

    def run(self) -> None:
        """Make some of it."""
        end = self._now() + SLICE_SECONDS
        while self._asked:
            self._make_one()
            if self._now() >= end:
                return

    def _make_one(self) -> None:
        who, steps = next(iter(self._asked.items()))
        step = steps.popleft()
        if _has_more(step):
            steps.append(step)
        if steps:
            self._asked.move_to_end(who)
        else:
            del self._asked[who]


def _has_more(step: Step) -> bool:
    try:
        return step()
    except Exception:
        # One answer that cannot be made must not cost the others theirs.
        log.exception("a step of an answer failed")
        return False
