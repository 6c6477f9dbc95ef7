"""The blocks of arguments that travel with a lease: small ones, so that nobody has to ask."""

from __future__ import annotations

import logging
from collections.abc import Callable

from farm.wire.messages import Block, Range

log = logging.getLogger("farm.server")

INLINE_BLOCK = 16 * 1024
INLINE_TOTAL = 256 * 1024
"""Bytes of blocks that travel with a lease, each and all together; others are asked for."""


def inline_blocks(
    block: Callable[[int, int], Block | None], batch: int, ranges: list[Range]
) -> list[Block]:
    """The first blocks of a lease, as long as they are small and can be read.

    Args:
        block: gives the one of a batch that holds an index.
        batch: the lease's.
        ranges: its tasks.
    """
    found: list[Block] = []
    size = 0
    for start, stop in ranges:
        index = start
        while index < stop:
            try:
                one = block(batch, index)
            except Exception as error:
                # Whatever it is, the node will ask for the block and is told what is wrong with it,
                # while a lease that cannot be sent costs it its connection.
                log.debug("a block of batch %d does not travel with its lease: %s", batch, error)
                return found
            if one is None or len(one.payload) > INLINE_BLOCK:
                return found
            size += len(one.payload)
            if size > INLINE_TOTAL:
                return found
            found.append(one)
            index = one.stop
    return found
