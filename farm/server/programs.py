"""What it takes to run a batch, or to write it down: its spec, arguments and code.

All of it may be large. It is read when its answer is sent: of what was asked in one turn of the
loop only one thing is in memory at a time, and nothing is read for who is gone.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable

from farm.batch.suggest import clipped
from farm.errors import RequestError
from farm.server.core import Core
from farm.server.peers import Peer
from farm.wire.leases import Code, GetCode
from farm.wire.messages import Block, GetBlock, GetSpec, Message, Range, Refused, SpecFound

log = logging.getLogger("farm.server")


class Programs:
    """The requests of nodes that begin a batch, and of who exports it.

    Args:
        core: the server's state.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def _tell(
        self, peer: Peer, number: int, find: Callable[[], Message],
        needed_by: Callable[[], Range | None] = lambda: None,
    ) -> None:  # fmt: skip
        def make() -> Message:
            try:
                return find()
            except sqlite3.DatabaseError as error:
                if type(error) is not sqlite3.DatabaseError:  # its subclasses tell of something
                    raise  # else, and mostly of what passes
                return _damaged(error, needed_by)

        self._core.tell(lambda: peer.answer(number, make))

    def spec(self, peer: Peer, number: int, request: GetSpec) -> None:
        """What a batch is."""
        self._tell(peer, number, lambda: self._spec(request.batch))

    def _spec(self, batch: int) -> SpecFound:
        core, info = self._core, self._core.infos.get(batch)
        spec = core.journal.spec(batch)
        if info is None or spec is None:
            raise RequestError("unknown-batch", f"there is no batch {batch}")
        total = core.ledger.batches[batch].total
        return SpecFound(batch, info.name, total, spec, info.digest)

    def block(self, peer: Peer, number: int, request: GetBlock) -> None:
        """Arguments that did not travel with the lease."""
        batch, index = request.batch, request.index
        self._tell(
            peer, number, lambda: self._block(batch, index),
            needed_by=lambda: self._core.journal.block_range(batch, index),
        )  # fmt: skip

    def _block(self, batch: int, index: int) -> Block:
        found = self._core.block(batch, index)
        if found is None:
            raise RequestError("bad-request", f"batch {batch} has no block with task {index}")
        return found

    def code(self, peer: Peer, number: int, request: GetCode) -> None:
        """Python files that a batch brought along."""
        self._tell(peer, number, lambda: self._code(request.digest))

    def _code(self, digest: str) -> Code:
        files = self._core.journal.code(digest)
        if files is None:
            raise RequestError("bad-request", f"no files are known as {clipped(digest)!r}")
        return Code(files)


def _damaged(error: sqlite3.DatabaseError, needed_by: Callable[[], Range | None]) -> Refused:
    """What was lost, and for which tasks, as far as that can still be read."""
    log.error("what a batch needs cannot be read from the journal: %s", error)
    tasks = None
    with contextlib.suppress(sqlite3.Error):
        tasks = needed_by()
    return Refused("damaged", f"the journal cannot be read: {error}", tasks)
