"""What a node says to its server, and what it makes of the answers. Pure.

Messages in, messages out: no I/O, no threads, no clock. `farm.node` decides on the work itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from farm import unable
from farm.batch import spec as specs
from farm.engines import base
from farm.errors import ProtocolError, RequestError
from farm.node import Node
from farm.wire.leases import (
    Code,
    Drain,
    Dropped,
    GetCode,
    Held,
    Join,
    Joined,
    Lease,
    Leave,
    Recall,
    Report,
)
from farm.wire.messages import (
    MAX_CLAIMS,
    MAX_HELD,
    Block,
    Done,
    GetBlock,
    GetSpec,
    Message,
    Refused,
    SpecFound,
)

log = logging.getLogger("farm.worker")


class Hands(Protocol):
    """What the dialogue has done on the machine."""

    def add_program(self, program: base.Program) -> None:
        """Make a batch known to the engine.

        Raises:
            ValueError: it cannot read what the batch runs.
        """

    def forget_program(self, batch: int) -> None:
        """Nothing of the batch will be run any more."""

    def kill(self, batch: int) -> None:
        """Kill what runs of a batch."""

    def take_back(self, batch: int) -> None:
        """Have the engine give back what it has not begun of a batch."""

    def has_code(self, digest: str) -> bool:
        """Whether the files of a digest are here."""

    def keep_code(self, digest: str, files: dict[str, bytes]) -> None:
        """Unpack the files of a digest.

        Raises:
            ProtocolError: they are not those, so that no node can use them.
            OSError: this machine does not take them.
        """

    def drop_code(self, digest: str) -> None:
        """Nothing needs the files of a digest any more."""

    def code_directory(self, digest: str) -> str:
        """Where the files of a digest lie."""

    def joined(self, answer: Joined) -> None:
        """The server has taken the node in."""


class Dialogue:
    """One node's conversation, over as many connections as it takes.

    Args:
        node: decides on the work.
        hands: carries out.
        name: for people.
        token: the node's own for as long as it lives.

    Example:
        >>> dialogue = Dialogue(Node(2), hands, "node7", "token")  # doctest: +SKIP
        >>> for number, message in dialogue.connected():           # doctest: +SKIP
        ...     send(number, message)
    """

    def __init__(self, node: Node, hands: Hands, name: str, token: str) -> None:
        self.node = node
        self.name = name
        self._is_in = False  # on this connection, the server has answered `Join`
        self.id = 0
        """As the server knows it; 0 until it does."""
        self._hands = hands
        self._token = token
        self._asked: dict[int, Message] = {}
        self._number = 0
        self._programs: dict[int, str] = {}  # batch -> digest, of those the engine knows
        self._traits: dict[int, tuple[bool, bool, bool]] = {}  # by value, once, counted
        self._specs: dict[int, SpecFound] = {}  # those whose code is still on its way

    # -- to the server ------------------------------------------------------------------------

    def connected(self) -> Iterator[tuple[int, Message]]:
        """A connection is there: present the node, and what it holds."""
        self._asked.clear()
        self._is_in = False
        node = self.node
        failed = node.delivery.failures()[:MAX_CLAIMS]
        held = _at_most(node.held(), MAX_CLAIMS)
        yield self._ask(Join(self.name, node.slots, held, self._token, node.draining, failed))

    def say(
        self, idle: int, has_room: Callable[[], bool] = lambda: True, now: float = 0.0
    ) -> Iterator[tuple[int, Message]]:
        """What the server is to know now, message by message; 0 numbers those without an answer.

        Args:
            idle: slots without a chunk.
            has_room: whether the network takes more; what it does not take yet stays in the node,
                where it is not lost with a backlog that has grown too long.
            now: seconds; what is not due by then is kept, if the server has asked for a pace.
        """
        if not self._is_in:
            return
        for batch in self.node.needs_program():
            if batch not in self._specs and not self._is_asked(GetSpec(batch)):
                yield self._ask(GetSpec(batch))
        for batch, index in self.node.missing_blocks():
            yield self._ask(GetBlock(batch, index))
        if not self.node.keeps(idle, now):
            want = self.node.want(idle)
            while has_room() and (report := self.node.delivery.report(self._number + 1)):
                report.want, want = want, None
                yield self._ask(report)
            if want:
                yield 0, want
            self.node.said(now)
        for batch in self.node.forget_idle():
            self._forget(batch)

    @property
    def due(self) -> float | None:
        """When there is something to `say` although nothing else happens; None for never."""
        return self.node.due if self._is_in else None

    def goodbye(self) -> tuple[int, Message]:
        """The node goes: the server need not wait for a silence."""
        return self._ask(Leave(self._token))

    @property
    def is_leaving(self) -> bool:
        """Whether the server has not answered `goodbye` yet."""
        return any(isinstance(asked, Leave) for asked in self._asked.values())

    def _ask(self, request: Message) -> tuple[int, Message]:
        self._number += 1
        self._asked[self._number] = request
        return self._number, request

    def _is_asked(self, request: Message) -> bool:
        return request in self._asked.values()

    def disconnected(self) -> None:
        """The connection is lost; what is to be said is said again on the next."""
        self._specs.clear()
        self._asked.clear()
        self.node.disconnected()

    def start_anew(self) -> None:
        """It is another server: what the last one gave is nothing to this one."""
        for batch in {*self.node.batches, *self._programs}:
            self._drop(batch)

    # -- from the server ----------------------------------------------------------------------

    def hear(self, number: int, body: Message) -> Iterator[tuple[int, Message]]:
        """An answer, or something unasked (number 0); yields what is asked on account of it.

        Raises:
            RequestError: the server does not take this node.
            ProtocolError: it may, once the node has joined anew on another connection.
        """
        asked = self._asked.pop(number, None)
        match body:
            case Refused():
                self._refused(number, asked, body)
            case Joined():
                self.id, self.name, self._is_in = body.node, body.name, True
                self.node.drop(body.drop)
                self._hands.joined(body)
            case Lease():
                self.node.lease(body)
                if body.batch in self._programs:
                    self._ready(body.batch)
            case Done() if isinstance(asked, Report):
                self.node.delivery.acknowledged(number)
            case Block() if isinstance(asked, GetBlock):
                self.node.block(asked.batch, body)
            case SpecFound():
                yield from self._found_spec(body)
            case Code() if isinstance(asked, GetCode):
                self._found_code(asked.digest, body.files)
            case Recall():
                self.node.recall(body.batch)
                self._hands.take_back(body.batch)
            case Drain():
                self.node.drain()
            case Dropped():
                self._drop(body.batch)

    def _refused(self, number: int, asked: Message | None, refusal: Refused) -> None:
        log.error("the server refused %s: %s", type(asked).__name__, refusal.text)
        if isinstance(asked, Join):
            raise RequestError(refusal.code, f"the server refused this node: {refusal.text}")
        if refusal.code in ("unknown-node", "journal", "internal", "busy"):
            # It may be served after joining once more; until then everything is kept.
            raise ProtocolError(refusal.text)
        if isinstance(asked, Report):
            # It will not be taken later either. As the node joins anew it does not claim these
            # tasks any more, so that somebody runs them again who may.
            self.node.delivery.refused(number, self.node.is_once)
            raise ProtocolError(refusal.text)
        self._cannot_have(asked, refusal)

    def _cannot_have(self, asked: Message | None, refusal: Refused) -> None:
        """What some tasks need is not to be had: they have failed, and all else goes on."""
        if isinstance(asked, GetSpec | GetBlock) and refusal.code == "unknown-batch":
            self._drop(asked.batch)
        elif isinstance(asked, GetBlock):
            tasks = refusal.tasks or (asked.index, asked.index + 1)
            self.node.fail_pending(asked.batch, unable.without_arguments(refusal.text), tasks)
            self.node.not_asked(asked.batch, asked.index)
        elif isinstance(asked, GetSpec):
            self.node.give_up(asked.batch, unable.without_program(refusal.text))
        elif isinstance(asked, GetCode):
            self._cannot_have_code(asked.digest, refusal.text)

    def _cannot_have_code(self, digest: str, why: str) -> None:
        for batch in self._waiting_for(digest):
            del self._specs[batch]
            self.node.give_up(batch, unable.without_program(why))

    def _drop(self, batch: int) -> None:
        """Nobody wants any more of a batch."""
        self.node.dropped(batch)
        self._hands.kill(batch)
        self._forget(batch)

    def _found_spec(self, found: SpecFound) -> Iterator[tuple[int, Message]]:
        if found.batch not in self.node.needs_program():
            return  # dropped meanwhile
        if not found.digest or self._hands.has_code(found.digest):
            self._add_program(found)
            return
        self._specs[found.batch] = found
        if not self._is_asked(GetCode(found.digest)):
            yield self._ask(GetCode(found.digest))

    def _found_code(self, digest: str, files: dict[str, bytes]) -> None:
        try:
            self._hands.keep_code(digest, files)
        except ProtocolError as error:
            log.warning("what needs them cannot be run: %s", error)
            self._cannot_have_code(digest, str(error))
            return
        except OSError as error:
            self._leave(f"the code of a batch cannot be unpacked here: {error}")
            return
        for batch in self._waiting_for(digest):
            self._add_program(self._specs.pop(batch))

    def _leave(self, reason: str) -> None:
        """Others may be able to run the batch; what runs here of other batches is finished."""
        log.error("%s: this node takes nothing more and leaves", reason)
        self.node.drain()

    def _waiting_for(self, digest: str) -> list[int]:
        """The batches whose code is on its way under this digest."""
        return [batch for batch, found in self._specs.items() if found.digest == digest]

    def _add_program(self, found: SpecFound) -> None:
        directory = self._hands.code_directory(found.digest) if found.digest else None
        try:
            spec = specs.decode(found.spec)
            self._hands.add_program(base.Program(found.batch, found.spec, found.digest, directory))
        except (ValueError, msgspec.DecodeError) as error:
            self._leave(f"the program of batch {found.batch} cannot be read here: {error}")
            return
        options = spec.options
        counted = options.max_failures is not None or options.max_failure_share is not None
        self._traits[found.batch] = spec.space is None, not options.rerun, counted
        self._programs[found.batch] = found.digest
        self._ready(found.batch)

    def _ready(self, batch: int) -> None:
        by_value, once, counted = self._traits[batch]
        self.node.program_ready(batch, by_value=by_value, once=once, counted=counted)

    def _forget(self, batch: int) -> None:
        self._hands.forget_program(batch)
        self._specs.pop(batch, None)
        self._traits.pop(batch, None)
        digest = self._programs.pop(batch, "")
        if digest and digest not in self._programs.values():
            self._hands.drop_code(digest)


def _at_most(held: list[Held], most: int) -> list[Held]:
    """The first ranges. What is not claimed may run elsewhere too; it is taken all the same."""
    kept = []
    for claim in held[:MAX_HELD]:
        kept.append(Held(claim.batch, claim.ranges[:most]))
        most -= len(kept[-1].ranges)
        if not most:
            break
    return kept
