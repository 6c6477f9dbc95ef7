"""Follows a batch: its outcomes are handed over as they come, by the thread of the link.

For what waits for very many small results, or for one that is to come soon: no thread of its own,
and nothing is asked for twice.
"""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any, Protocol

from farm.client.asking import meaning, say
from farm.client.outcome import RemoteTraceback, expand, values_of
from farm.errors import FarmError, ProtocolError, RequestError
from farm.wire import messages

if TYPE_CHECKING:
    from farm.client.link import Link

log = logging.getLogger("farm.client")


class Taker(Protocol):
    """Who wants the results. Called by the link's thread: it must not ask and wait there."""

    def put(self, start: int, values: list[Any]) -> None:
        """Results from the index ``start`` on."""

    def put_error(self, index: int, error: BaseException) -> None:
        """A task has failed."""

    def page_over(self) -> None:
        """What came together has been handed over."""

    def cut(self, start: int, error: FarmError) -> None:
        """The tasks from the index ``start`` on were not taken; of the others all comes."""

    def end(self, error: FarmError | None) -> None:
        """Nothing further comes: the batch has ended, or (``error``) cannot be followed."""


class Follower:
    """Hands over outcomes, page after page, until the batch has ended.

    Args:
        link: to the server.
        batch: its id.
        taker: who wants the results.
    """

    def __init__(self, link: Link, batch: int, taker: Taker) -> None:
        self._link = link
        self._batch = batch
        self._taker = taker
        self._request = messages.GetOutcomes(batch, 0, follow=True)

    def start(self) -> None:
        """Ask for everything that was recorded, and will be.

        A batch that cannot be followed is cancelled: nobody would hear what comes of it.
        """
        try:
            self._link.follow(self._request, self)
        except FarmError as error:
            say(self._link, messages.Cancel(str(self._batch)))
            self._taker.end(error)

    # -- as a `farm.client.link.Stream` -------------------------------------------------------

    def goes_on(self, body: messages.Message) -> bool:
        """Whether another page follows this one."""
        return isinstance(body, messages.Outcomes) and not body.ended

    def set_result(self, body: messages.Message) -> None:
        """A page has come."""
        if not isinstance(body, messages.Outcomes):
            self._taker.end(ProtocolError(f"the server answered GetOutcomes with {body}"))
            return
        try:
            self._take(body)
        except Exception as error:
            # Out of memory, say. What is missing now comes no more, and who waits for it is told.
            log.exception("results of batch %d could not be taken", self._batch)
            say(self._link, messages.Cancel(str(self._batch)))
            kind = type(error).__name__
            self._taker.end(FarmError(f"results could not be taken: {kind}, see the log"))

    def _take(self, body: messages.Outcomes) -> None:
        self._request.cursor = body.cursor
        self._hand_over(body.outcomes)
        self._taker.page_over()
        if body.ended:
            self._taker.end(None)

    def set_exception(self, error: FarmError) -> None:
        """There will be no further page."""
        self._taker.end(meaning(error) if isinstance(error, RequestError) else error)

    def _hand_over(self, outcomes: list[messages.Outcome]) -> None:
        for outcome in outcomes:
            came = self._read(outcome)
            if isinstance(came, list):
                self._taker.put(outcome.start, came)
            else:
                for index in range(outcome.start, outcome.stop):
                    self._taker.put_error(index, came)

    def _read(self, outcome: messages.Outcome) -> list[Any] | BaseException:
        """The values of its tasks, or why there are none."""
        try:
            return values_of(outcome) if outcome.failure is None else _raised(outcome)
        except BaseException as error:
            # Unpickling runs what results and exceptions are made of, which may raise anything, and
            # all that is on this link waits for this thread.
            log.debug("outcomes of batch %d cannot be read: %r", self._batch, error)
            return error


def _raised(outcome: messages.Outcome) -> BaseException:
    """The exception itself where it travelled, as of `multiprocessing.Pool`; else a `TaskError`."""
    error = next(expand(outcome, pickle.loads)).error
    assert error is not None
    raised = error.__cause__
    return error if raised is None or isinstance(raised, RemoteTraceback) else raised
