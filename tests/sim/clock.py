"""Simulated time: one queue of what happens when, and processes that can be killed or frozen."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable


class Crash(BaseException):
    """The process that raises it is dead from here on; nothing of farm may catch it."""


class Handle:
    """A call that is planned, as `asyncio.TimerHandle`."""

    __slots__ = ("_when", "call", "cancelled")

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self._when = when
        self.call = call
        self.cancelled = False

    def when(self) -> float:
        """When, by the clock of the loop that planned it."""
        return self._when

    def cancel(self) -> None:
        """It is not to happen."""
        self.cancelled = True


class Time:
    """All that is going to happen, in order; what happens at the same moment, as it was planned."""

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Plan a call."""
        heapq.heappush(self._queue, (max(when, self.now), next(self._order), call))

    def step(self) -> bool:
        """Let the next thing happen; False if there is none."""
        if not self._queue:
            return False
        self.now, _, call = heapq.heappop(self._queue)
        call()
        return True


class Process:
    """One process: a loop as `asyncio`'s, whose calls happen only while it lives.

    Args:
        time: the world's.
        name: for the trace.
        chance: decides on the offset of its clock, as no two machines' clocks agree.
        died: called when it has ended, however.
    """

    def __init__(
        self, time: Time, name: str, chance: random.Random, died: Callable[[], None] = lambda: None
    ) -> None:
        self._time = time
        self.name = name
        self._offset = chance.uniform(0.0, 1e5)
        self._died = died
        self.alive = True
        self.frozen = False
        self._held: list[Handle] = []

    def time(self) -> float:
        """Its own monotonic clock."""
        return self._time.now + self._offset

    def call_at(self, when: float, call: Callable[..., None], *arguments: object) -> Handle:
        """Plan a call."""
        handle = Handle(when, lambda: call(*arguments))
        self._time.at(when - self._offset, lambda: self._run(handle))
        return handle

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: object) -> Handle:
        """Plan a call."""
        return self.call_at(self.time() + seconds, call, *arguments)

    def call_soon(self, call: Callable[..., None], *arguments: object) -> Handle:
        """Plan a call for the end of this moment."""
        return self.call_at(self.time(), call, *arguments)

    def _run(self, handle: Handle) -> None:
        if not self.alive or handle.cancelled:
            return
        if self.frozen:
            self._held.append(handle)
            return
        try:
            handle.call()
        except Crash:
            self.kill()

    def kill(self) -> None:
        """As by kill -9."""
        if self.alive:
            self.alive = False
            self._died()

    def freeze(self) -> None:
        """As by SIGSTOP."""
        self.frozen = True

    def thaw(self) -> None:
        """As by SIGCONT: what was to happen meanwhile happens now."""
        self.frozen = False
        held, self._held = self._held, []
        for handle in held:
            self._time.at(self._time.now, lambda handle=handle: self._run(handle))
