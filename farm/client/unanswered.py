"""Requests that are unanswered, and the one time that each who asked is told what came of it.

What fails as one of them is told is that one's alone, for the thread that tells brings everybody's
answers. It is never one that Ctrl-C interrupts: that may come between any two steps, and whoever
had not been told by then would wait for ever.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Protocol

from farm.client.once import Once, Reply
from farm.errors import FarmError, RequestError
from farm.wire.messages import Message, Refused

log = logging.getLogger("farm.client")


class Answer(Protocol):
    """Where an answer goes: a `Reply`, or whoever takes one after the other."""

    def set_result(self, body: Message, /) -> None:
        """It has come."""

    def set_exception(self, error: FarmError, /) -> None:
        """None will come, or no further one; also after a `set_result` that has failed."""


class Stream(Answer, Protocol):
    """Takes several answers to one request."""

    def goes_on(self, body: Message) -> bool:
        """Whether another answer follows this one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is unanswered.

    Args:
        request: as it is sent again after a break.
        answer: where its answer goes.
        stream: the same, where there are several.
        told: set when the answer, or that none will come, has been told.
    """

    request: Message
    answer: Answer
    stream: Stream | None
    told: Once = field(default_factory=Once)

    def goes_on(self, body: Message) -> bool:
        """Whether another answer follows this one."""
        return self.stream is not None and self.stream.goes_on(body)

    def tell(self, body: Message) -> None:
        """Tell the last answer."""
        if isinstance(body, Refused):
            self.end(RequestError(body.code, body.text))
        else:
            self.answer.set_result(body)
            self.told.set()

    def end(self, error: FarmError) -> None:
        """Tell that no answer comes; raises nothing."""
        try:
            self.answer.set_exception(error)
        except BaseException:
            # Whatever it was, the next one is to be told, too.
            log.exception("whoever was told that no answer comes has failed")
        finally:
            self.told.set()


class Unanswered:
    """All of one link, by number.

    Any thread may use it: each step that must not be divided is one of the dictionary's own, and
    whoever takes a request out tells its end.
    """

    def __init__(self) -> None:
        self._asked: dict[int, Asked] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._asked)

    def __contains__(self, number: int) -> bool:
        """Whether this one is unanswered."""
        return number in self._asked

    def add(self, number: int, asked: Asked) -> None:
        """One more."""
        self._asked[number] = asked

    def request(self, number: int) -> Message | None:
        """What was asked; None if it is not unanswered."""
        asked = self._asked.get(number)
        return None if asked is None else asked.request

    def is_awaited(self, number: int) -> bool:
        """Whether somebody waits for its answer."""
        asked = self._asked.get(number)
        return asked is not None and isinstance(asked.answer, Reply)

    def all(self) -> dict[int, Asked]:
        """Those that there are by now, in the order in which they were asked."""
        return self._asked.copy()

    def answer(self, number: int, body: Message) -> None:
        """Tell what has come."""
        asked = self._asked.get(number)
        if asked is None:
            return
        try:
            if asked.goes_on(body):
                asked.answer.set_result(body)
            elif self._asked.pop(number, None) is not None:
                asked.tell(body)
        except BaseException as error:
            # No memory is left for it, say. The others' answers are brought all the same.
            log.exception("an answer of the server could not be taken")
            self._asked.pop(number, None)
            asked.end(error if isinstance(error, FarmError) else _not_taken(error))

    def end(self, error: FarmError) -> None:
        """Tell all that no answer comes."""
        for number in self.all():
            asked = self._asked.pop(number, None)
            if asked is not None:
                asked.end(error)


def _not_taken(error: BaseException) -> FarmError:
    return FarmError(f"the server's answer could not be taken: {type(error).__name__}, see the log")
