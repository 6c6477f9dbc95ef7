"""Those who wait for something of a batch: woken by a change, or when their time is over."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Waiter:
    """Somebody who waits: ``answer`` is called once, when ``ready`` or when it is late."""

    batch: int
    ready: Callable[[], bool]
    answer: Callable[[], None]
    who: str = ""
    timer: asyncio.TimerHandle | None = None


class Waiters:
    """All who wait, by batch.

    Args:
        loop: the server's.
        late: is given the answer of whoever has waited long enough, to be called after a commit.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, late: Callable[[Callable[[], None]], None]
    ) -> None:
        self._loop = loop
        self._late = late
        self._by_batch: dict[int, dict[Waiter, None]] = {}  # longest waiting first
        self.number: Counter[str] = Counter()
        """How many there are, by who they are."""

    def add(self, waiter: Waiter, seconds: float) -> None:
        """Wait for at most ``seconds``; infinity is no limit."""
        if seconds < math.inf:
            waiter.timer = self._loop.call_later(seconds, self._give_up, waiter)
        self._by_batch.setdefault(waiter.batch, {})[waiter] = None
        self.number[waiter.who] += 1

    def forget(self, waiter: Waiter) -> None:
        """Nobody waits there any more."""
        if waiter.timer is not None:
            waiter.timer.cancel()
        waiting = self._by_batch.get(waiter.batch, {})
        if waiter in waiting:
            del waiting[waiter]
            self.number[waiter.who] -= 1
        if not self.number[waiter.who]:
            del self.number[waiter.who]
        if not waiting:
            self._by_batch.pop(waiter.batch, None)

    def wake(self, batch: int) -> None:
        """The batch has changed."""
        for waiter in [w for w in self._by_batch.get(batch, ()) if w.ready()]:
            self.forget(waiter)
            waiter.answer()

    def _give_up(self, waiter: Waiter) -> None:
        self.forget(waiter)
        self._late(waiter.answer)
