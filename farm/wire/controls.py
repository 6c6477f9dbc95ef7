"""What clients say to control batches and nodes; see `farm.wire.messages` for the rest.

As all requests, these are idempotent. Those that name a batch by ``ref`` (an id, a name, ``last``)
are sent with its id by farm's own client, so that one that is sent again means the same batch.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from farm.wire.messages import Few, Int, Message, Outcome, Range, Status

IMPORTING = "it is being imported"
"""The reason for which a batch is paused whose outcomes are still on their way."""


class Pause(Message):
    """Begin no further task of a batch; what runs goes on. Answered by its `Status`."""

    ref: str


class Resume(Message):
    """Go on with a batch that is paused. Answered by its `Status`."""

    ref: str


class Retry(Message):
    """Try tasks again that failed, or that were cancelled. Answered by `Retried`.

    ``ranges`` names them; those of them that are done, or not over, stay as they are. Without
    ranges it means all that failed and, unless ``failed``, all that were cancelled; of those
    that failed, from ``start`` on. Where very many did the first ones are taken: see `Retried`.
    ``more`` says that others will be wanted right after these.
    """

    ref: str
    ranges: Annotated[list[Range], Few] = msgspec.field(default_factory=list)
    failed: bool = False
    start: Int = 0
    more: bool = False


class Retried(Message):
    """How many tasks are tried again, and how the batch stands.

    ``further`` is where the next `Retry` is to start; 0 if this was all.
    """

    tasks: Int
    status: Status
    further: Int = 0


class Forget(Message):
    """Remove a batch that has ended, with its outcomes. Answered by `Done`."""

    batch: Int


class Restore(Message):
    """Outcomes of a batch that another server recorded. Answered by `Done`.

    Only for a batch that was submitted ``paused``, whose reason is `IMPORTING` until the ``last``
    ones are there: before that it cannot be resumed. What has an outcome already keeps it.
    """

    batch: Int
    outcomes: Annotated[list[Outcome], Few]
    last: bool = False


class DrainNode(Message):
    """Let a node finish what runs, take nothing new, and leave. Answered by `Draining`.

    ``ref`` is the node's id or its name.
    """

    ref: str


class Draining(Message):
    """The node has been told so."""

    node: Int
    name: str
