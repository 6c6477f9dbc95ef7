"""The names of nodes, of which no two are alike. Pure."""

from __future__ import annotations

MAX_NAME = 200
"""Letters of the name of a node."""

_STEM = MAX_NAME - len("-1000000000")
"""Letters of it that are left where a number follows."""


class Names:
    """The names that are in use.

    Machines that are copies of one another may all have one name, so that the next free number is
    remembered: a thousand of them that come at once need not each try the numbers of all others.

    Example:
        >>> names = Names()
        >>> names.take("node"), names.take("node"), names.take("node")
        ('node', 'node-2', 'node-3')
        >>> names.free("node-2")
        >>> names.take("node")
        'node-2'
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}
        """Of names that are in use: below this number, all that follow it are, too."""

    def add(self, name: str) -> None:
        """Somebody has this one already."""
        self._taken.add(name)

    def take(self, wanted: str) -> str:
        """The name that is wanted, or with the lowest number, from 2, with which it is free.

        Args:
            wanted: of at most `MAX_NAME` letters, as is the name that is given. Of one that is so
                long that no number fits behind it, the last ones give way to it.
        """
        name = wanted
        if wanted in self._taken:
            stem = wanted[:_STEM]
            number = self._next.get(stem, 2)
            while (name := f"{stem}-{number}") in self._taken:
                number += 1
            self._next[stem] = number + 1
        self._taken.add(name)
        return name

    def free(self, name: str) -> None:
        """Nobody has this one any more."""
        self._taken.discard(name)
        self._next.pop(name[:_STEM], None)
        first, _, number = name.rpartition("-")
        if first in self._next and number.isdecimal():
            self._next[first] = max(2, min(self._next[first], int(number)))
