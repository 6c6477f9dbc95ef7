"""Arguments in blocks: how many go together, and which of them cannot be sent at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from farm.client import byvalue
from farm.errors import UsageError

BLOCK_BYTES = 1 << 20
"""About as many go into one block."""

FIRST_ITEMS = 16
"""In the first block, whose size tells how many go into the next."""

GROWTH = 8
"""By which a block may have more items than the one before."""

MAX_ITEMS = 20_000
"""In one block."""

Take = Callable[[int], list[Any]]
"""Gives the next arguments, at most so many; none at their end."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A block as it travels: its pickle, and how many items are in it."""

    payload: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Unsendable:
    """One item that cannot be sent, in its place between the blocks."""

    error: Exception


class Blocks:
    """Makes blocks of arguments.

    Args:
        largest: bytes of a block.
        shape: what is pickled of the items of a block.
        name: how an item is called, before its number.
    """

    def __init__(
        self, largest: int, shape: Callable[[list[Any]], Any], name: Callable[[int], str]
    ) -> None:
        self._largest = largest
        self._shape = shape
        self._name = name

    def of(self, take: Take) -> Iterator[Packed | Unsendable]:
        """The blocks, each of as many items as make up `BLOCK_BYTES`, judged by the one before.

        Args:
            take: gives the arguments.
        """
        wanted = FIRST_ITEMS
        start = 0
        while items := take(wanted):
            weight = 1
            for block in self._packed(items, start):
                weight += len(block.payload) if isinstance(block, Packed) else 0
                yield block
            start += len(items)
            fitting = BLOCK_BYTES * len(items) // weight
            wanted = max(1, min(fitting, len(items) * GROWTH, MAX_ITEMS))

    def _packed(self, items: list[Any], start: int) -> Iterator[Packed | Unsendable]:
        """One block, or several around what cannot be sent, or where they are too large together.

        Halving finds it: each item that cannot be pickled costs as much as its block once more.
        """
        try:
            payload = byvalue.dumps(self._shape(items))
        except Exception as error:
            # Pickling runs the objects' own methods, which may raise anything.
            if len(items) == 1:
                with suppress(Exception):  # its class may let nobody add anything
                    error.add_note(f"while {self._name(start)} was pickled, to be sent")
                yield Unsendable(error)
                return
        else:
            if len(payload) <= self._largest:
                yield Packed(payload, len(items))
                return
            if len(items) == 1:
                yield Unsendable(self._too_large(start, len(payload)))
                return
        half = len(items) // 2
        yield from self._packed(items[:half], start)
        yield from self._packed(items[half:], start + half)

    def _too_large(self, index: int, size: int) -> UsageError:
        return UsageError(
            f"{self._name(index)} has {size:,} bytes; the limit is {self._largest:,}. Pass names "
            "of files instead of what is in them."
        )
