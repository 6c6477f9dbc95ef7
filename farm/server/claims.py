"""What nodes say of themselves and of tasks: whether it can be so, and put together by batch."""

from __future__ import annotations

import math

from farm.errors import RequestError
from farm.server.attempts import mark_of
from farm.server.naming import MAX_NAME
from farm.server.states import Batch, Range
from farm.wire.leases import Held, Join, Unheard
from farm.wire.messages import MAX_CLAIMS

MAX_SLOTS = 10_000

MAX_COPIES = 16 * 1024 * 1024
"""Bytes of copies of one part, where others have done some of it in between. What is beyond is
done again, which costs less."""

Claims = dict[int, list[Range]]
"""Ranges by batch, in any order."""


def checked_join(request: Join) -> Claims:
    """What a node holds that comes, or comes back, and says what can be so.

    Raises:
        RequestError: it does not.
    """
    if not 1 <= len(request.name) <= MAX_NAME or not request.name.isprintable():
        raise RequestError(
            "bad-request", f"a node has a name of 1 to {MAX_NAME} printable characters (--name)"
        )
    if not 1 <= request.slots <= MAX_SLOTS:
        raise RequestError("bad-request", f"a node has 1 to {MAX_SLOTS:,} slots")
    for claim in request.failed:
        check(claim.index, claim.index + 1)
    return checked(request.held, MAX_CLAIMS)


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


def most_of(state: Batch, part: Range, size: int) -> int:
    """Up to where a part is taken: each piece of it that is owed is journalled with a copy of all.

    Args:
        state: of its batch.
        part: the tasks.
        size: bytes of their results.

    Raises:
        RequestError: it is in so many pieces, and the tasks must not run twice. They are leased one
            by one, so that no part of them is ever in pieces.
    """
    most = max(1, MAX_COPIES // max(1, size))
    recorded = (state.done, state.failed, state.dropped)
    if sum(outcomes.pieces for outcomes in recorded) < most:  # nearly always: it cannot be in more
        return part[1]
    owed = state.owes(*part)
    if len(owed) <= most:
        return part[1]
    if not state.options.rerun:
        raise RequestError("bad-request", f"{part} is in pieces, some of which others have done")
    return owed[most - 1][1]


def plausible(seconds: float) -> float:
    """Seconds as a node measured them; 0 for what is no duration and would spoil every sum."""
    return seconds if 0.0 <= seconds < math.inf else 0.0
