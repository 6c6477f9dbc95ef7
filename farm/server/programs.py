"""What it takes to run a batch, or to write it down: its spec, arguments and code.

All of it may be large. It is read when its answer is sent: of what was asked in one turn of the
loop only one thing is in memory at a time, and nothing is read for who is gone.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable

from farm.batch import shipment
from farm.batch import spec as specs
from farm.batch.suggest import clipped
from farm.errors import RequestError
from farm.server.around import QUEUE_TOKEN
from farm.server.core import Core
from farm.server.damage import Losses, is_damage
from farm.server.peers import Peer
from farm.wire.leases import Code, GetCode
from farm.wire.messages import Block, GetBlock, GetSpec, Message, Range, Refused, SpecFound

log = logging.getLogger("farm.server")

MOST_WHOLE = 10_000
"""Digests of which it is remembered that their files were whole when they were read."""


class Programs:
    """The requests of nodes that begin a batch, and of who exports it.

    Args:
        core: the server's state.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._losses = Losses()
        self._whole: set[str] = set()

    def _tell(
        self, peer: Peer, number: int, find: Callable[[], Message],
        lost: Callable[[sqlite3.Error], Range | None],
    ) -> None:  # fmt: skip
        """Answer with what there is; what is ``lost`` is refused, with the tasks that need it."""

        def make() -> Message:
            try:
                return find()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                return Refused("damaged", f"the journal cannot be read: {error}", lost(error))

        self._core.tell(lambda: peer.answer(number, make))

    # -- programs -----------------------------------------------------------------------------

    def spec(self, peer: Peer, number: int, request: GetSpec) -> None:
        """What a batch is."""
        batch = request.batch
        self._tell(
            peer, number, lambda: self._spec(batch),
            lost=lambda error: self._lost_program(peer, [batch], f"batch {batch}", error),
        )  # fmt: skip

    def _spec(self, batch: int) -> SpecFound:
        core, info = self._core, self._core.infos.get(batch)
        spec = core.journal.spec(batch)
        if info is None or (spec is None and core.journal.has_new_batch):
            raise RequestError("unknown-batch", f"there is no batch {batch}")
        if spec is None:
            raise sqlite3.DatabaseError(f"malformed: there is no batch {batch}")
        try:
            specs.call_of(spec)
        except ValueError as error:  # it was one when it was submitted
            raise sqlite3.DatabaseError(f"malformed: the spec of batch {batch}: {error}") from error
        return SpecFound(batch, info.name, core.ledger.batches[batch].total, spec, info.digest)

    def code(self, peer: Peer, number: int, request: GetCode) -> None:
        """Python files that a batch brought along."""
        digest = request.digest
        self._tell(
            peer, number, lambda: self._code(digest),
            lost=lambda error: self._lost_program(
                peer, self._users(digest), f"the files {digest}", error
            ),
        )  # fmt: skip

    def _code(self, digest: str) -> Code:
        files = self._core.journal.code(digest)
        if files is None and (self._core.journal.has_new_batch or not self._users(digest)):
            raise RequestError("bad-request", f"no files are known as {clipped(digest)!r}")
        if files is None:
            raise sqlite3.DatabaseError(f"malformed: there are no files {digest}")
        if digest not in self._whole:
            self._check_whole(digest, files)
        return Code(files)

    def _check_whole(self, digest: str, files: dict[str, bytes]) -> None:
        """Whether files are those that came: all nodes would refuse them, one after another.

        Raises:
            sqlite3.DatabaseError: they are not.
        """
        if shipment.digest(files) != digest:
            raise sqlite3.DatabaseError(f"malformed: the files {digest} are not those that came")
        if len(self._whole) >= MOST_WHOLE:
            self._whole.clear()
        self._whole.add(digest)

    def _users(self, digest: str) -> list[int]:
        """The batches that brought these files along."""
        known = self._core.infos.values() if digest else ()  # most batches have no files
        return [info.id for info in known if info.digest == digest]

    def _lost_program(
        self, peer: Peer, batches: list[int], what: str, error: sqlite3.Error
    ) -> None:
        """Nothing more of these batches can be begun: that is said once, not task by task.

        Where nobody runs them, an export that finds it out ends nothing.
        """
        self._losses.tell(what, f"the program of {what}", error)
        for batch in batches if peer.node else ():
            info, state = self._core.infos.get(batch), self._core.ledger.batches.get(batch)
            if info is None or state is None or state.ended or info.token == QUEUE_TOKEN:
                continue  # the queue of plain clients goes on: they need no program
            reason = (
                f"its program was lost on the server's disk ({error}): restore the data directory "
                f"from a backup and `farm retry {batch}`, or submit it again"
            )
            log.error("batch %d is stopped: %s", batch, reason)
            self._core.cancel(batch, reason)

    # -- arguments ----------------------------------------------------------------------------

    def block(self, peer: Peer, number: int, request: GetBlock) -> None:
        """Arguments that did not travel with the lease."""
        batch, index = request.batch, request.index
        self._tell(
            peer, number, lambda: self._block(batch, index),
            lost=lambda error: self._lost_block(batch, index, error),
        )  # fmt: skip

    def _block(self, batch: int, index: int) -> Block:
        found = self._core.block(batch, index)
        if found is None:
            raise RequestError("bad-request", f"batch {batch} has no block with task {index}")
        return found

    def _lost_block(self, batch: int, index: int, error: sqlite3.Error) -> Range:
        """The tasks that need it; the one that was asked for alone, where that cannot be read."""
        state = self._core.ledger.batches.get(batch)
        tasks: Range | None = None
        with contextlib.suppress(sqlite3.Error):
            tasks = self._core.journal.block_range(batch, index, state.total if state else 0)
        tasks = tasks or (index, index + 1)
        what = f"arguments of batch {batch}, tasks [{tasks[0]}, {tasks[1]}),"
        self._losses.tell((batch, tasks[0]), what, error)
        return tasks
