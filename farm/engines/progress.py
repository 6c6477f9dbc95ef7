"""What a slot shows its owner in shared memory: which task runs, and since when.

So that a death or a timeout names its task without a message for each. All that a slot writes for
a task that is over is what it took, which has to travel anyway: the place of the first one that is
still open is the task that runs.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

MAX_GROUP = 1 << 15
"""Tasks in one group."""

_FIRST, _COUNT, _BEGAN, _CHUNK, _FINISHED = 0, 1, 2, 3, 4
_HEAD_BYTES = 5 * 8

SLOT_BYTES = _HEAD_BYTES + 4 * MAX_GROUP
"""Shared memory that each slot needs; what is not used of it takes no room."""

_OPEN = memoryview(array("f", [-1.0]) * MAX_GROUP)


class Progress:
    """The part of one slot; the slot writes, its owner reads.

    Args:
        memory: `SLOT_BYTES` for each slot, shared.
        number: which slot, from 0.

    Example:
        >>> progress = Progress(memoryview(bytearray(SLOT_BYTES)), 0)
        >>> progress.begin(100, 8)
        >>> progress.seconds[0] = 0.5
        >>> progress.index
        101
    """

    def __init__(self, memory: memoryview, number: int) -> None:
        mine = memory.cast("B")[SLOT_BYTES * number : SLOT_BYTES * (number + 1)]
        self._head = mine[:_HEAD_BYTES].cast("q")
        self.seconds = mine[_HEAD_BYTES:].cast("f")
        """What the tasks of the group took, as float32; below 0 of those that are not over."""

    def enter(self, chunk: int) -> None:
        """The groups that follow are of this chunk."""
        self._head[_CHUNK] = chunk

    def begin(self, first: int, count: int) -> None:
        """A group of tasks begins: ``count`` of them, from the index ``first`` on."""
        self._head[_FIRST] = -1
        self.seconds[:count] = _OPEN[:count]
        self._head[_COUNT] = count
        self._head[_FIRST] = first

    def end(self) -> None:
        """Nothing runs any more."""
        self._head[_BEGAN] = 0
        self._head[_FIRST] = -1

    def finish(self, chunk: int) -> None:
        """That a chunk is over has been sent: all of it can be read."""
        self._head[_FINISHED] = chunk

    def clear(self) -> None:
        """What a slot shows that has had nothing to do yet."""
        self.end()
        self._head[_CHUNK] = self._head[_FINISHED] = -1

    def watch(self) -> None:
        """From now on what runs is timed, until `rest`."""
        self._head[_BEGAN] = time.monotonic_ns()

    def rest(self) -> None:
        """What runs is not timed any more."""
        self._head[_BEGAN] = 0

    def timing(self, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """``call``, timed; after an exception it is for the caller to `rest`."""
        head, clock = self._head, time.monotonic_ns

        def timed(value: Any) -> Any:
            head[_BEGAN] = clock()
            result = call(value)
            # Before this task is seen to be over: its beginning is not taken for the next one's.
            head[_BEGAN] = 0
            return result

        return timed

    @property
    def chunk(self) -> int:
        """The chunk that runs, or the last one that did."""
        return self._head[_CHUNK]

    @property
    def finished(self) -> int:
        """The last chunk of which all was sent; -1 if there is none."""
        return self._head[_FINISHED]

    @property
    def began(self) -> int:
        """When what runs began (`time.monotonic_ns`); 0 if nothing is timed."""
        return self._head[_BEGAN]

    @property
    def index(self) -> int:
        """The task that runs, or the last one of a group that is over; -1 if there is none."""
        first, count = self._head[_FIRST], self._head[_COUNT]
        if first < 0:
            return -1
        over = bisect_left(self.seconds, True, 0, count, key=_is_open)
        return first + min(over, count - 1)


def _is_open(seconds: float) -> bool:
    return seconds < 0.0
