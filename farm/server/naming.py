"""The names of nodes, of which no two are alike. Pure."""

from __future__ import annotations


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
        """The name that is wanted, or with the lowest number, from 2, with which it is free."""
        name = wanted
        if wanted in self._taken:
            number = self._next.get(wanted, 2)
            while (name := f"{wanted}-{number}") in self._taken:
                number += 1
            self._next[wanted] = number + 1
        self._taken.add(name)
        return name

    def free(self, name: str) -> None:
        """Nobody has this one any more."""
        self._taken.discard(name)
        self._next.pop(name, None)
        first, _, number = name.rpartition("-")
        if first in self._next and number.isdecimal():
            self._next[first] = max(2, min(self._next[first], int(number)))
