"""The place of a call among all arguments, some of which could not be sent. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator


class Places:
    """Which arguments were left out, and where the others have come to stand.

    Example:
        >>> places = Places()
        >>> places.leave_out(2)             # the third one, after two that were sent
        2
        >>> list(places.of(0, 4))           # what was sent as tasks 0 to 3 is 0, 1, 3 and 4
        [(0, 2, 0), (2, 4, 3)]
    """

    def __init__(self) -> None:
        self._left_out: list[int] = []  # for each, how many were sent before it

    def __len__(self) -> int:
        """How many were left out."""
        return len(self._left_out)

    def leave_out(self, sent: int) -> int:
        """The next argument is not sent, after ``sent`` that were; its place."""
        self._left_out.append(sent)
        return sent + len(self._left_out) - 1

    def of(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The tasks ``[start, stop)`` in pieces: first, stop, and the place of the first."""
        while start < stop:
            before = bisect_right(self._left_out, start)
            rest = self._left_out[before : before + 1]
            end = min(stop, *rest) if rest else stop
            yield start, end, start + before
            start = end
