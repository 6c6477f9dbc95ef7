"""What was lost on the server's disk: which errors say so, and that the log says it once.

What cannot be read for now is something else: it may be there later.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Hashable

log = logging.getLogger("farm.server")

MOST_REMEMBERED = 10_000
"""Things that were said to be lost; of more, the one that was said first may be said again."""


def is_damage(error: Exception) -> bool:
    """Whether it says that something is lost, and not that it cannot be read for now."""
    # The subclasses tell of something else, and mostly of what passes. But a text that is none is
    # an OperationalError: "Could not decode to UTF-8 column ...".
    return type(error) is sqlite3.DatabaseError or (
        isinstance(error, sqlite3.OperationalError) and "decode to UTF-8" in str(error)
    )


class Losses:
    """Says in the log what is lost: as often as it is asked for, it would fill the disk.

    Example:
        >>> losses = Losses()
        >>> losses.tell((7, 4096), "arguments of batch 7", sqlite3.DatabaseError("malformed"))
    """

    def __init__(self) -> None:
        self._told: OrderedDict[Hashable, None] = OrderedDict()

    def tell(self, key: Hashable, what: str, error: Exception) -> None:
        """Log that something cannot be read, unless that was said before.

        Args:
            key: what it is known by.
            what: the same, for people.
            error: why it cannot be read.
        """
        if key in self._told:
            return
        self._told[key] = None
        if len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)
        log.error("%s cannot be read from the journal any more: %s", what, error)
