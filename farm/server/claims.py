"""What a node's messages must be like, beyond what their types say."""

from __future__ import annotations

import math

from farm.errors import RequestError
from farm.wire.leases import Held, Join
from farm.wire.messages import MAX_CLAIMS, Range

MAX_SLOTS = 10_000
MAX_NAME = 200


def check_join(request: Join) -> None:
    """See that a node that comes, or comes back, says what can be so.

    Raises:
        RequestError: it does not.
    """
    if not 1 <= len(request.name) <= MAX_NAME or not request.name.isprintable():
        raise RequestError(
            "bad-request", f"a node has a name of 1 to {MAX_NAME} printable characters (--name)"
        )
    if not 1 <= request.slots <= MAX_SLOTS:
        raise RequestError("bad-request", f"a node has 1 to {MAX_SLOTS:,} slots")
    check_number(request.held, MAX_CLAIMS)
    for claim in request.held:
        check_ranges(claim.ranges)
    check_ranges([(claim.index, claim.index + 1) for claim in request.failed])


def check_number(held: list[Held], most: int) -> None:
    """See that ranges are not so many that the others would have to wait for one node.

    Raises:
        RequestError: they are.
    """
    number = sum(len(claim.ranges) for claim in held)
    if number > most:
        raise RequestError("bad-request", f"{number:,} ranges in one message; at most {most:,}")


def check_ranges(ranges: list[Range]) -> list[Range]:
    """Ranges as they must be.

    Raises:
        RequestError: they are not.
    """
    for start, stop in ranges:
        if not 0 <= start < stop <= 2**63 - 1:
            raise RequestError("bad-request", f"[{start}, {stop}) is not a range")
    return ranges


def plausible(seconds: float) -> float:
    """Seconds as a node measured them; 0 for what is no duration and would spoil every sum."""
    return seconds if 0.0 <= seconds < math.inf else 0.0
