"""What nodes name in a message, put together by batch: what they hold, and what they give back."""

from __future__ import annotations

from farm.errors import RequestError
from farm.server.attempts import mark_of
from farm.server.states import Batch, Range
from farm.wire.leases import Held, Unheard

Claims = dict[int, list[Range]]
"""Ranges by batch, in any order."""


def checked(held: list[Held], most: int) -> Claims:
    """Ranges as they must be, and not so many that the others would have to wait for one node.

    Raises:
        RequestError: they are not, or too many.
    """
    number = sum(len(claim.ranges) for claim in held)
    if number > most:
        raise RequestError("bad-request", f"{number:,} ranges in one message; at most {most:,}")
    found: Claims = {}
    for claim in held:
        for start, stop in claim.ranges:
            check(start, stop)
        found.setdefault(claim.batch, []).extend(claim.ranges)
    return found


def check(start: int, stop: int) -> None:
    """See that this is a range.

    Raises:
        RequestError: it is not.
    """
    if not 0 <= start < stop <= 2**63 - 1:
        raise RequestError("bad-request", f"[{start}, {stop}) is not a range")


def answered_for(
    batches: dict[int, Batch], held: Claims, token: str, failed: list[Unheard]
) -> Claims:
    """What a node holds, and the tasks at which it failed, where the server has not heard of it.

    Args:
        batches: all there are, by id.
        held: what the node holds.
        token: the node's.
        failed: the failures that it will report.
    """
    found = {batch: [*ranges] for batch, ranges in held.items()}
    for claim in failed:
        state = batches.get(claim.batch)
        if state is None or not state.has_heard(claim.index, mark_of(token, claim.mark)):
            part = (claim.index, claim.index + 1)
            found.setdefault(claim.batch, []).append(part)
    return found
