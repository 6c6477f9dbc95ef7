"""Every message between a node and its server; see `farm.wire.messages` for the rest.

A node holds *leases*: it presents them when it joins, reports what came of them, and is told when
one is no longer wanted.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from farm.wire.messages import MAX_HELD, Block, Claims, Failure, Few, Int, Message, Name, Range

LEASE_DELAY = 0.2
"""Seconds that a busy server may take for a lease without a slot having to wait for it."""


class Held(Message, gc=False):
    """Ranges of one batch that a node holds: a lease, as the node presents it on its return."""

    batch: Int
    ranges: Annotated[list[Range], Claims]


class Unheard(Message, gc=False):
    """A failed attempt that the node has not been told is journalled; ``mark`` as in `Failed`."""

    batch: Int
    index: Int
    mark: Int


class Join(Message):
    """A node comes, or comes back with what it holds. Answered by `Joined`.

    ``token`` is the node's own for as long as it lives, and what it is known by: ids begin anew
    with each server. ``failed`` are failures that it will report (again): the node answers for
    those tasks only where the server has not heard of the failure, and has nobody else try again.
    """

    name: str
    slots: Int
    held: Annotated[list[Held], msgspec.Meta(max_length=MAX_HELD)]
    token: Name
    draining: bool = False
    failed: Annotated[list[Unheard], Claims] = msgspec.field(default_factory=list)


class Joined(Message):
    """The node's id and name, and which of the ranges it held it is to drop."""

    node: Int
    name: str
    beat: float
    drop: list[Held]


class Want(Message):
    """The node has room for ``free`` slots' work; replaces what it said before. No answer.

    ``idle`` of these slots have nothing to run; the work of the others would wait on the node. A
    lease takes a slot of both for each of its tasks, on either side, so that it need not be said
    again. ``ahead`` is how many seconds of work wait on the node already, for each of its slots.
    """

    free: Int
    idle: Int = 0
    ahead: float = 0.0


def remaining(free: int, idle: int, tasks: int) -> tuple[int, int]:
    """What of a `Want` is left after a lease of so many tasks."""
    return max(0, free - tasks), max(0, idle - tasks)


def worth(pace: float) -> float:
    """Seconds of work that a node with a pace has waiting for each slot, once it has spoken.

    A quarter more than it takes until it speaks again, because tasks are not all alike, and
    `LEASE_DELAY` until the answer is there.
    """
    return 1.25 * pace + LEASE_DELAY


class Lease(Message):
    """Ranges of one batch handed to the node (sent with id 0).

    ``mean`` is the farm's mean task time in seconds, 0 if not known. ``blocks`` are such as are
    small; the node asks for others with `GetBlock`. ``pace`` is how many seconds are to lie between
    two reports of what comes of it, unless a slot has nothing to do: the server has much to do. 0
    is at once.
    """

    batch: Int
    ranges: list[Range]
    mean: float = 0.0
    blocks: list[Block] = msgspec.field(default_factory=list)
    pace: float = 0.0


class GetCode(Message):
    """The files of a digest. Answered by `Code`."""

    digest: str


class Code(Message):
    """Python files by name."""

    files: dict[str, bytes]


class Part(Message):
    """Finished tasks ``[start, stop)``: their pickled results and float32 seconds."""

    batch: Int
    start: Int
    stop: Int
    payload: bytes
    seconds: bytes


class Failed(Message):
    """One failed attempt. ``mark`` tells it from all others of this node."""

    batch: Int
    index: Int
    seconds: float
    failure: Failure
    mark: Int = 0


class Report(Message):
    """What came of a node's leases. Answered by `Done` once it is journalled.

    ``returned`` are ranges the node could not run (a slot died beneath them). ``want`` is what the
    node has room for by now, as if it had said so after the report.
    """

    parts: Annotated[list[Part], Few]
    failed: Annotated[list[Failed], Few]
    returned: Annotated[list[Held], Few]
    want: Want | None = None


class Beat(Message):
    """A node is alive; sent on a connection of its own. ``token`` is that of its `Join`."""

    token: str


class Dropped(Message):
    """The server wants no more of a batch (sent with id 0): kill what runs, forget the rest."""

    batch: Int


class Recall(Message):
    """Give back what of a batch has not begun (sent with id 0): it is paused, or there are others
    who have nothing to do."""

    batch: Int


class Drain(Message):
    """The node is to finish what runs, take nothing new, and leave (sent with id 0)."""


class Leave(Message):
    """The node goes; what it held is given to others at once. ``token`` is that of its `Join`."""

    token: str
