"""What comes once, and whoever waits for it, so that Ctrl-C at any moment does no harm.

A `concurrent.futures.Future` or `threading.Event` takes its lock in steps of Python. An interrupt
between two of them leaves it taken for ever, and the link's thread, which brings everybody's
answers, waits for it. Here each who waits has a lock of his own, for which nobody else waits.
"""

from __future__ import annotations

import contextlib
import threading

from farm.errors import FarmError
from farm.wire.messages import Message

MUST_NOT_WAIT = (
    "a callback runs in the thread that brings all answers and results of its session, and must "
    "not wait for any: call apply_async or map_async with a callback, or start a thread that waits"
)
"""What is said to one that would wait for itself."""


class Once:
    """Something that happens once; as a `threading.Event` that is never cleared."""

    def __init__(self) -> None:
        self._has_happened = False
        self._waiters: list[threading.Lock] = []  # each is given back when it has happened

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._has_happened

    def set(self) -> None:
        """It has happened: wake all who wait. Further calls do no harm.

        One after an interrupted call wakes those whom that one did not.
        """
        self._has_happened = True
        for waiter in list(self._waiters):
            with contextlib.suppress(RuntimeError):  # another call has woken this one
                waiter.release()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it has happened; whether it has.

        Args:
            seconds: to wait at most; None for as long as it takes.
        """
        waiter = threading.Lock()
        waiter.acquire()
        self._waiters.append(waiter)
        try:
            if not self._has_happened:  # looked at once it is among those who are woken
                waiter.acquire(timeout=_timeout(seconds))
        finally:
            self._waiters.remove(waiter)
        return self._has_happened


def _timeout(seconds: float | None) -> float:
    """What a lock takes for it."""
    return -1 if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX)


class Reply:
    """The answer to one request, for whoever waits; as a `farm.client.link.Answer`."""

    def __init__(self) -> None:
        self._come = Once()
        self._body: Message | FarmError | None = None

    def set_result(self, body: Message) -> None:
        """It has come."""
        self._body = body
        self._come.set()

    def set_exception(self, error: FarmError) -> None:
        """None will come."""
        self._body = error
        self._come.set()

    def done(self) -> bool:
        """Whether it has come, or none will."""
        return self._come.is_set()

    def result(self, seconds: float | None = None) -> Message:
        """The answer, once it has come.

        Args:
            seconds: to wait at most; None for as long as it takes.

        Raises:
            TimeoutError: it has not come by then.
            FarmError: none will come, or it is a refusal.
        """
        if not self._come.wait(seconds):
            raise TimeoutError
        if isinstance(self._body, Message):
            return self._body
        assert self._body is not None
        raise self._body
