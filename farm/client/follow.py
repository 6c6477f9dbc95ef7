"""Follows a batch: its outcomes are handed over as they come, by the thread of the link.

For what waits for very many small results: no thread of its own, and the next page is asked for
before the one that has come is looked at.
"""

from __future__ import annotations

import logging
import pickle
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from farm.client.outcome import expand, values_of
from farm.errors import FarmError, ProtocolError
from farm.wire import messages

if TYPE_CHECKING:
    from farm.client.link import Link

log = logging.getLogger("farm.client")

WAIT_SECONDS = 30.0
"""A request is held back by the server for so long; then it is asked again."""


class Taker(Protocol):
    """Who wants the results. Called by the link's thread: it must not ask and wait there."""

    def put(self, start: int, values: list[Any]) -> None:
        """Results from the index ``start`` on."""

    def put_error(self, index: int, error: BaseException) -> None:
        """A task has failed."""

    def page_over(self) -> None:
        """What came together has been handed over."""

    def end(self, error: FarmError | None) -> None:
        """Nothing further comes: the batch has ended, or (``error``) cannot be followed."""


class Follower:
    """Asks for outcomes, page after page, until the batch has ended.

    Args:
        link: to the server.
        batch: its id.
        taker: who wants the results.
    """

    def __init__(self, link: Link, batch: int, taker: Taker) -> None:
        self._link = link
        self._batch = batch
        self._taker = taker

    def ask(self, cursor: int = 0) -> None:
        """Ask for what was recorded after ``cursor``."""
        try:
            request = messages.GetOutcomes(self._batch, cursor, WAIT_SECONDS)
            self._link.ask(request, drain=False).add_done_callback(self._came)
        except FarmError as error:
            self._taker.end(error)

    def _came(self, answer: Future[messages.Message]) -> None:
        """A page has come. `Future` would log an exception and go on: nobody would be told."""
        try:
            page = answer.result()
            if not isinstance(page, messages.Outcomes):
                raise ProtocolError(f"the server answered GetOutcomes with {page}")
        except FarmError as error:
            self._taker.end(error)
            return
        if not page.ended:
            self.ask(page.cursor)
        try:
            self._hand_over(page.outcomes)
        finally:
            self._taker.page_over()
            if page.ended:
                self._taker.end(None)

    def _hand_over(self, outcomes: list[messages.Outcome]) -> None:
        for outcome in outcomes:
            if outcome.failure is not None:
                self._taker.put_error(outcome.start, _raised(outcome))
                continue
            try:
                values = values_of(outcome)
            except Exception as error:
                # Unpickling results runs what they are made of, which may raise anything.
                log.debug("results of batch %d cannot be unpickled: %r", self._batch, error)
                for index in range(outcome.start, outcome.stop):
                    self._taker.put_error(index, error)
            else:
                self._taker.put(outcome.start, values)


def _raised(outcome: messages.Outcome) -> BaseException:
    """The exception itself where it travelled, as of `multiprocessing.Pool`; else a `TaskError`."""
    error = next(expand(outcome, pickle.loads)).error
    assert error is not None
    assert outcome.failure is not None
    if outcome.failure.exception is not None and error.__cause__ is not None:
        return error.__cause__
    return error
