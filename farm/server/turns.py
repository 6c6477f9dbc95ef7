"""The group commit: what a turn of the loop changes is written in one transaction at its end.

Then the answers go out, leases are handed to the nodes that want some, whoever waits is woken, and
long answers are made for a while. While the journal cannot be written (a full disk, say), what
acknowledges is held back.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from farm.errors import RequestError
from farm.server.journal import Journal
from farm.server.rounds import Rounds, Step
from farm.server.stall import Stall
from farm.server.waiting import Waiter, Waiters

log = logging.getLogger("farm.server")

RETRY_SECONDS = 1.0
"""Between attempts to write a journal that cannot be written (a full disk, say)."""

MAX_PENDING_RECORDS = 100_000
MAX_PENDING_BYTES = 256 * 1024 * 1024
"""Records, and bytes of results in them, that may wait for a journal that cannot be written; then
requests are refused."""

MAX_WAITERS = 1000
MAX_WAITING = 10_000
"""Requests that are held back, of one connection and of the holders of one key: each is looked at
with each change."""

QUIET_SECONDS = 0.0002
"""Since the last turn of the loop ended; before that, several requests may be written together."""


@dataclass(slots=True)
class _Turn:
    """What the end of this turn of the loop has to do."""

    answers: deque[tuple[Callable[[], None], bool]] = field(default_factory=deque)
    """Each with whether it acknowledges something."""
    touched: set[int] = field(default_factory=set)
    """Batches of which something is to be written."""
    awaited: set[int] = field(default_factory=set)
    """Batches that somebody waits for."""


class Turns:
    """Ends each turn of the server's loop.

    Args:
        journal: is written.
        loop: the server's.
        hand_out: called after each commit, to lease what became pending.
        give_up: called with what makes it impossible to go on.
    """

    def __init__(
        self,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        hand_out: Callable[[], None],
        give_up: Callable[[Exception], None],
    ) -> None:
        self.journal = journal
        self.loop = loop
        self.waiters = Waiters(loop, self.tell)
        self._hand_out = hand_out
        self._give_up = give_up
        self._turn = _Turn()
        self._flush_planned = False
        self._rounds = Rounds(loop.time)
        self._rounds_planned = False  # while the journal cannot be written
        self._ending = False  # a turn, whose last step are the rounds
        self.stall = Stall(journal.path)
        self._ended = 0.0  # when the last turn did
        self._stopped = False
        self._hearing = False

    @property
    def stalled(self) -> bool:
        """Whether the journal cannot be written at the moment."""
        return self.stall.why is not None

    def is_unwritten(self, batch: int) -> bool:
        """Whether something of a batch waits for a journal that cannot be written."""
        return self.stalled and batch in self._turn.touched

    def answer(self, send: Callable[[], None]) -> None:
        """Send an answer, once what came before it is journalled."""
        self._answer(send, acknowledges=True)

    def _answer(self, send: Callable[[], None], *, acknowledges: bool) -> None:
        self._turn.answers.append((send, acknowledges))
        self.plan_flush()

    def tell(self, send: Callable[[], None]) -> None:
        """Send an answer that acknowledges nothing: at once where the journal cannot be written."""
        if not self.stalled:
            self._answer(send, acknowledges=False)
        else:
            self._guarded((send,))

    def read(self, who: str, step: Step) -> None:
        """Make a long answer step by step, each at a moment when nothing waits to be journalled.

        Only while the journal cannot be written it is made of what there is.

        Args:
            who: those who ask as the same have their turns together.
            step: see there.
        """
        self._rounds.add(who, step)
        if not self._ending:
            self._plan_rounds()

    def _plan_rounds(self) -> None:
        if not self.stalled:
            self.plan_flush()
        elif not self._rounds_planned:
            self._rounds_planned = True
            self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._rounds_planned = False
        self._make_some()

    def _make_some(self) -> None:
        self._rounds.run()
        if self._rounds:
            self._plan_rounds()

    def changed(self, batch: int) -> None:
        """Wake those who wait for the batch, at the end of the turn."""
        self._turn.touched.add(batch)
        self.plan_flush()

    def check_writable(self) -> None:
        """Before what somebody wants acknowledged who can come again later.

        Raises:
            RequestError: the journal cannot be written at the moment.
        """
        if self.stalled:
            raise RequestError("journal", self.stall.refusal)

    def check_room(self) -> None:
        """Before what can only be kept here until it is journalled.

        Raises:
            RequestError: the journal has not been writable for so long that no more is taken.
        """
        journal = self.journal
        if journal.pending > MAX_PENDING_RECORDS or journal.pending_bytes > MAX_PENDING_BYTES:
            raise RequestError("journal", "the journal cannot be written; see the server's log")

    def plan_flush(self) -> None:
        """Do what is to be done at the end of this turn of the loop."""
        if not self._flush_planned:
            self._flush_planned = True
            if not self._hearing:
                self.loop.call_soon(self._flush)

    def stop(self) -> None:
        """Nothing is written any more."""
        self._stopped = True

    def hear(self) -> None:
        """Begin to serve what has come on a connection; `heard` is to follow."""
        self._hearing = True

    def heard(self) -> None:
        """All of it is served: the turn ends at once, if little happens.

        Else others may have something that can be written together with it.
        """
        self._hearing = False
        if not self._flush_planned or self.stalled:
            return
        if self.loop.time() - self._ended > QUIET_SECONDS:
            self._flush()
        else:
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        if not self._flush_planned or self._stopped:
            return  # it was ended before, or nobody is there any more
        ahead = not self.stalled and not self.journal.has_new_batch
        if ahead:
            # What nodes begin while this is written need not wait for it: no lease is journalled
            # that does not bind, and what it names was there before, or comes again with the
            # request that was not acknowledged. Only a new batch's number could become another's.
            self._guarded((self._hand_out,))
        try:
            self.journal.commit()
        except sqlite3.OperationalError as error:
            self._stall(error)
            return
        except Exception as error:
            # Not a matter of time: the file is damaged, or a record cannot be written at all.
            log.exception("the journal %s cannot be used any more", self.journal.path)
            self._give_up(error)
            return
        if self.stalled:
            self.stall.over()
        self._flush_planned, self._ending = False, True
        turn, self._turn = self._turn, _Turn()
        self._guarded(send for send, _ in turn.answers)
        if not ahead:
            self._guarded((self._hand_out,))
        woken = turn.touched | turn.awaited if turn.awaited else turn.touched
        self._guarded(functools.partial(self.waiters.wake, batch) for batch in woken)
        self._ending = False
        if self._rounds:
            self._make_some()
        self._ended = self.loop.time()

    def _stall(self, error: sqlite3.OperationalError) -> None:
        """The journal cannot be written for a while: hold back what acknowledges, and try again."""
        self.stall.met(error, self.loop.time())
        self.loop.call_later(RETRY_SECONDS, self._flush)
        answers, self._turn.answers = self._turn.answers, deque()
        for send, acknowledges in answers:
            if acknowledges:
                self._turn.answers.append((send, True))
            else:
                self._guarded((send,))
        if self._rounds:
            self._plan_rounds()

    def _guarded(self, steps: Iterable[Callable[[], None]]) -> None:
        for step in steps:
            try:
                step()
            except Exception:
                # One answer that cannot be given must not cost all the others of the turn.
                log.exception("a step at the end of a turn failed")

    def wait(
        self,
        batch: int,
        seconds: float,
        ready: Callable[[], bool],
        answer: Callable[[], None],
        who: str = "",
        others: int = 0,
    ) -> Waiter | None:
        """Call ``answer`` when ``ready`` is true after a commit, or after ``seconds``.

        None if there is nothing to wait for (NaN is no time to wait).

        Args:
            batch: whose changes are waited for.
            seconds: see above.
            ready: see above.
            answer: see above.
            who: whoever asks.
            others: requests of the same connection that are held back already.

        Raises:
            RequestError: too many of the same wait already.
        """
        if not seconds > 0 or (not self.journal.pending and ready()):
            self.tell(answer)
            return None
        if others >= MAX_WAITERS:
            raise RequestError("busy", f"{MAX_WAITERS:,} requests of this connection wait")
        if self.waiters.number[who] >= MAX_WAITING:
            raise RequestError("busy", f"{MAX_WAITING:,} requests of this key or certificate wait")
        waiter = Waiter(batch, ready, answer, who)
        self.waiters.add(waiter, seconds)
        if self.journal.pending:  # of that, too; any later change wakes it by itself
            self._turn.awaited.add(batch)
            self.plan_flush()
        return waiter
