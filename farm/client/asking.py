"""One question to the server, with the kind of answer that must come; or none is waited for."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from farm.errors import (
    BatchCancelledError,
    FarmError,
    NotAuthorisedError,
    ProtocolError,
    RequestError,
    UnknownBatchError,
    UsageError,
)
from farm.wire import messages

if TYPE_CHECKING:
    from farm.client.link import Link

log = logging.getLogger("farm.client")

M = TypeVar("M", bound=messages.Message)

ANSWER_SECONDS = 2.0
"""What a server is given beyond the time that a request is to be held back."""


def patience(deadline: float | None) -> float | None:
    """Seconds to wait for an answer that is wanted by then (of `time.monotonic`).

    While the server is away, or has stopped, whoever gave no deadline goes on waiting.
    """
    return None if deadline is None else max(0.0, deadline - time.monotonic()) + ANSWER_SECONDS


def ask(
    link: Link, request: messages.Message, expected: type[M], seconds: float | None = None
) -> M:
    """Ask, and check what kind of answer comes.

    Args:
        link: to the server.
        request: what is asked.
        expected: the kind of answer.
        seconds: to wait for it; None for as long as it takes.

    Raises:
        WaitTimeoutError: it did not come in time.
        UnknownBatchError: there is no such batch.
        BatchCancelledError: the batch was cancelled, and takes no more.
        UsageError: there is no such node, the batch is not in a state for this, or it is too large.
        NotAuthorisedError: the session's key or certificate does not allow this.
        RequestError: the server refuses for another reason.
    """
    try:
        answer = link.call(request, seconds)
    except RequestError as error:
        meant = meaning(error)
        if meant is error:
            raise
        raise meant from error
    if not isinstance(answer, expected):
        raise ProtocolError(f"the server answered {type(request).__name__} with {answer}")
    return answer


def say(link: Link, request: messages.Message) -> None:
    """Say something whose answer nobody waits for, if it can be said.

    What a server refuses whose journal cannot be written is said again for some minutes.
    """
    said = _Said(type(request).__name__)
    try:
        link.tell(request, said)
    except FarmError as error:
        said.set_exception(error)


class _Said:
    """Takes the answer that nobody waits for, as a `farm.client.link.Answer`."""

    def __init__(self, what: str) -> None:
        self._what = what

    def set_result(self, body: messages.Message) -> None:
        """It was heard."""

    def set_exception(self, error: FarmError) -> None:
        """It was not said, or not for long enough, or is of no use any more."""
        log.debug("%s came to nothing: %s", self._what, error)


def meaning(error: RequestError) -> FarmError:
    """What a refusal is for whoever uses farm; the refusal itself if there is nothing to add."""
    if error.code == "unknown-batch":
        return UnknownBatchError(f"{error} (see `farm status`)")
    if error.code == "unknown-node":
        return UsageError(f"{error} (see `farm nodes`)")
    if error.code in ("not-ended", "importing", "too-large", "task-queue"):
        return UsageError(str(error))
    if error.code == "cancelled":
        return BatchCancelledError(str(error))
    if error.code == "forbidden":
        return NotAuthorisedError(str(error))
    return error
