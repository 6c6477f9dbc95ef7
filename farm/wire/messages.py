"""Every message between a client and the server; `farm.wire.leases` has those of nodes.

A frame carries ``[id, message]``. A request has an id above 0 and is answered once with the same
id, in any order; id 0 is a message that wants no answer. Each request is idempotent, so that one
whose answer was lost can be sent again. Payloads are opaque bytes: the server never looks inside.
"""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec

from farm.batch.spec import Options
from farm.wire.frames import MAX_FRAME

PROTOCOL = 5
"""The number a client names when it connects; raised by any change an older peer cannot read."""

Int = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A number that every part of a server can keep: what is outside is refused as it is read."""

Name = Annotated[str, msgspec.Meta(max_length=200)]
"""A text that the server remembers."""

MAX_ITEMS = 1_000
"""Ranges, parts, failures or outcomes in one message: each takes the server 10 to 40 microseconds,
and the others wait meanwhile. Farm's own peers send more of them in several messages."""

MAX_CLAIMS = 100_000
"""Ranges that a node may claim when it comes back; it cannot do that in several messages."""

MAX_HELD = 1_000
"""Batches that it may name then. What it holds of others may run elsewhere, too."""

Few = msgspec.Meta(max_length=MAX_ITEMS)
Claims = msgspec.Meta(max_length=MAX_CLAIMS)

Range = tuple[Int, Int]
"""Consecutive indices ``[start, stop)``."""


class Message(msgspec.Struct, tag=True, array_like=True):
    """The base of all: encoded as ``[tag, field, field, ...]``."""


# -- anyone -----------------------------------------------------------------------------------


class Hello(Message):
    """The first request of a connection: who speaks. Answered by `Welcome`.

    ``connection`` counts those of one ``session``, a text that no other peer has: what still comes
    from an earlier one is not served. Without a session it stands for itself.
    """

    version: Name
    python: Name
    session: Name = ""
    connection: Int = 0


class Welcome(Message):
    """The server's version, and the id that its data directory has had since it was made.

    ``role`` is what the peer may do (see `farm.wire.roles`), ``max_frame`` the bytes that a message
    to this server may have.
    """

    version: str
    server: str
    role: str = "admin"
    max_frame: Int = MAX_FRAME


class Done(Message):
    """The request was carried out; there is nothing to say."""


class Refused(Message):
    """The request was not carried out: a stable code, and a sentence for people.

    What the server has lost is refused as ``damaged``: it will not be there later either. Then
    ``tasks`` are those that need it, where that is known and it is not needed by the whole batch.
    """

    code: str
    text: str
    tasks: Range | None = None


# -- clients ----------------------------------------------------------------------------------


class Block(Message):
    """Items ``[start, stop)`` of a batch whose arguments travel by value, pickled as one list."""

    start: Int
    stop: Int
    payload: bytes


def token_of(session: str) -> str:
    """A token for a batch that is whoever's this session is, as long as it is open."""
    return f"{session}/{secrets.token_hex(16)}"


def session_of(token: str) -> str:
    """The session that a token names; none if it names none."""
    session, slash, _ = token.partition("/")
    return session if slash else ""


class Submit(Message):
    """A new batch. ``token`` makes it idempotent. Answered by `Submitted`.

    The token of an open one may name the session whose it is (`token_of`): when no connection of
    that is there for long enough, the server closes the batch.

    ``spec`` is a `farm.batch.spec.Spec` without its files; those travel as ``files``, stored once
    under ``digest``. ``open`` means that `Append` will follow and ``total`` will grow. ``paused``
    means that no task begins before `Resume` (of `farm.wire.controls`).
    """

    token: Name
    name: str
    total: Int
    options: Options
    spec: bytes
    files: dict[str, bytes] = {}
    digest: str = ""
    blocks: Annotated[list[Block], Few] = []
    open: bool = False
    paused: bool = False


class Submitted(Message):
    """The batch is journalled under this id; ``known`` if its token had been sent before."""

    batch: Int
    known: bool = False


class Append(Message):
    """More blocks for an open batch; ``close`` says that they were the last."""

    batch: Int
    blocks: Annotated[list[Block], Few]
    close: bool = False


class GetStatus(Message):
    """How a batch stands. ``ref`` is an id, a name (its latest batch) or ``last``.

    With ``wait`` (seconds) the answer comes when the batch has ended, or after that time.
    """

    ref: str
    wait: float = 0.0


class NodeShare(Message):
    """What one node did for a batch: tasks done, and seconds they took."""

    node: str
    done: Int
    seconds: float


class Stalled(msgspec.Struct, array_like=True):
    """The server cannot write its journal: why, since when, and what to do about it.

    Until it can, it takes no batches and holds results back.
    """

    why: str
    since: float
    advice: str


class Status(Message):
    """How a batch stands; times are seconds since the epoch by the server's clock, 0 if not yet.

    ``total = pending + running + done + failed + cancelled``. ``state`` is ``waiting``,
    ``running``, ``paused``, ``done`` (every task succeeded), ``failed`` (all ended, some failed)
    or ``cancelled``; ``reason`` says why, where somebody or something ended or paused it.
    ``retried`` counts attempts beyond the first, ``repeated`` tasks that were done once more and
    whose second result was dropped. ``now`` is when it stood so, ``served`` whether a node is there
    that could take its tasks. ``stalled`` is what keeps the whole server from going on.
    """

    batch: Int
    name: str
    state: str
    total: Int
    pending: Int
    running: Int
    done: Int
    failed: Int
    cancelled: Int
    retried: Int
    submitted: float
    started: float
    ended: float
    seconds: float
    priority: Int
    open: bool
    nodes: list[NodeShare]
    now: float = 0.0
    paused: bool = False
    reason: str = ""
    repeated: Int = 0
    served: bool = True
    stalled: Stalled | None = None

    @property
    def over(self) -> bool:
        """Whether no further outcome will be recorded."""
        return self.state in ("done", "failed", "cancelled")


class ListBatches(Message):
    """The latest batches, newest first, at most ``limit``. Answered by `Batches`.

    ``before`` is the id of the last one of the page before; 0 for the first page.
    """

    limit: Int = 100
    before: Int = 0


class Batches(Message):
    """A page in answer to `ListBatches`; ``total`` is how many the server knows.

    It may have fewer than were asked for, and is empty where there are no more.
    """

    batches: list[Status]
    total: Int


class GetSpec(Message):
    """What a batch is. Answered by `SpecFound`."""

    batch: Int


class SpecFound(Message):
    """A batch's spec without its files, and the digest under which `GetCode` gives them."""

    batch: Int
    name: str
    total: Int
    spec: bytes
    digest: str


class GetBlock(Message):
    """The block that holds ``index``. Answered by a `Block`."""

    batch: Int
    index: Int


class GetOutcomes(Message):
    """Outcomes in the order in which they were recorded, after ``cursor`` (0 is the beginning).

    With ``wait`` (seconds) an empty answer is held back until there is one or the batch ended. With
    ``follow`` one answer comes after the other, as there is something to tell, until one says that
    the batch has ended.
    """

    batch: Int
    cursor: Int
    wait: float = 0.0
    follow: bool = False


class GetResults(Message):
    """Outcomes in index order from ``start`` on; waits for the first one as `GetOutcomes` does.

    With ``gaps``, those that are recorded by now: nothing is waited for, what is missing is left
    out, and ``ended`` says that there are no more. ``failed`` leaves out what is done.
    """

    batch: Int
    start: Int
    wait: float = 0.0
    gaps: bool = False
    failed: bool = False


class Failure(Message):
    """Why a task's attempt failed; ``exception`` is pickled, None if it could not be."""

    kind: str
    type_name: str
    text: str
    traceback: str
    exception: bytes | None = None


class Outcome(Message):
    """What was recorded for indices ``[start, stop)``.

    For tasks that are done, ``payload`` is a pickled list of results in which ``start`` stands at
    ``offset``, and ``seconds`` one float32 a task in the same places. A failed task has
    ``failure`` instead; only where results were lost on the server's disk, one failure is that of
    several tasks. ``elapsed`` is what all of them took together. ``retried`` holds
    (index, attempts) where there was more than one.
    """

    start: Int
    stop: Int
    node: Name
    elapsed: float
    offset: Int
    payload: bytes
    seconds: bytes
    failure: Failure | None = None
    retried: list[tuple[int, int]] = []


class Outcomes(Message):
    """A page of outcomes. ``ended`` says that no further ones will be recorded."""

    outcomes: list[Outcome]
    cursor: Int
    ended: bool
    state: str


class Cancel(Message):
    """Give up what is not done of a batch; answered by its `Status`. ``reason`` is for people."""

    ref: str
    reason: str = ""


class GetNodes(Message):
    """The nodes that are connected, and those lately lost, by their ids. Answered by `Nodes`.

    ``after`` is the id of the last one of the page before; 0 for the first page.
    """

    after: Int = 0


GONE = ("lost", "left")
"""States of nodes that are not there any more."""


class NodeInfo(Message):
    """One node: ``silent`` is the seconds since it was last heard, ``up`` those since it joined."""

    node: Int
    name: str
    address: str
    state: str
    slots: Int
    running: Int
    done: Int
    failed: Int
    silent: float
    up: float
    version: str
    python: str


class Nodes(Message):
    """A page in answer to `GetNodes`; empty where there are no more."""

    nodes: list[NodeInfo]
