"""When a node says what came of its work, where its server is too busy to hear of each task. Pure.

The server names a pace with each lease (see `farm.server.load`). Mostly it is 0: all is said at
once.
"""

from __future__ import annotations

import math


class Pacing:
    """What a node keeps for a while; times are seconds of any clock that only goes forward.

    Example:
        >>> pacing = Pacing()
        >>> pacing.pace = 2.0
        >>> pacing.said(10.0)
        >>> pacing.came(2.0)
        >>> pacing.due, pacing.keeps(11.0), pacing.keeps(12.0)
        (12.0, True, False)
    """

    def __init__(self) -> None:
        self.pace = 0.0
        """Of the latest lease."""
        self._patience = math.inf  # the shortest pace of what is to be said
        self._said = -math.inf

    def came(self, pace: float) -> None:
        """There is an outcome of a batch that has this pace."""
        self._patience = min(self._patience, pace)

    def keeps(self, now: float) -> bool:
        """Whether what there is to say is kept for later."""
        return now < self._said + min(self.pace, self._patience)

    @property
    def due(self) -> float | None:
        """When what came is to be said at the latest; None if there is nothing."""
        if self._patience == math.inf:
            return None
        return self._said + min(self.pace, self._patience)

    def said(self, now: float) -> None:
        """Everything was said."""
        self._said, self._patience = now, math.inf
