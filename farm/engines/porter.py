"""The second thread of a slot: while a task runs for long, it reads what the owner sends, and
flushes what has finished before."""

from __future__ import annotations

import functools
import selectors
import socket
import time

from farm.engines.ending import end_slot
from farm.engines.inbox import Inbox
from farm.engines.memory import MemoryLimit
from farm.engines.report import FLUSH_SECONDS, Report

LONG_SECONDS = 0.02
"""A job that has run for so long is not waited for. Before, this thread does nothing: each look
would cost the tasks as much as a short one takes. The owner gives a slot 50 ms to drop a chunk."""

# Not epoll, which has a descriptor of its own that a task could close by accident.
_Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)


class Porter:
    """The second thread.

    When the owner's end of the pipe closes, the slot kills its whole process group, itself
    included: nothing outlives a node.

    Args:
        link: the slot's end.
        inbox: what it reads for.
        report: what it flushes.
        limit: what tasks may allocate; what the owner sends is not theirs.
    """

    def __init__(
        self, link: socket.socket, inbox: Inbox, report: Report, limit: MemoryLimit
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._report = report
        self._limit = limit
        self._due = 0.0  # when finished tasks are flushed

    def serve(self) -> None:
        """Never returns: the slot ends with its first thread, or here."""
        try:
            with _Selector() as selector:
                selector.register(self._link, selectors.EVENT_READ)
                while True:
                    self._serve(selector)
        except BaseException as error:
            end_slot(error)

    def _serve(self, selector: selectors.BaseSelector) -> None:
        inbox = self._inbox
        if not inbox.busy:
            inbox.sleep()
            self._due = time.monotonic() + FLUSH_SECONDS
        young = inbox.began + LONG_SECONDS - time.monotonic()
        if young > 0.0 or not inbox.take_over():
            self._pause(young if young > 0.0 else LONG_SECONDS)
            return
        try:
            began = inbox.began
            while inbox.busy and inbox.began == began:
                self._read(selector)
        finally:
            inbox.hand_back()

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)
        self._flush_if_due()

    def _read(self, selector: selectors.BaseSelector) -> None:
        """Read what comes while one job runs.

        What has come is all that is read: while the rest of a long message is on its way, the
        task keeps its limit, and what has finished is flushed.
        """
        wait = max(0.0, self._due - time.monotonic())
        if self._limit.insist(functools.partial(selector.select, wait)):
            with self._limit.eased:
                self._inbox.read()
        self._flush_if_due()

    def _flush_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + FLUSH_SECONDS
            if self._inbox.busy:
                self._report.flush()
