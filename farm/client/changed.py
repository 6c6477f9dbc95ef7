"""What everybody waits for who waits for a pool."""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import attrgetter
from typing import TypeVar

from farm.client.once import MUST_NOT_WAIT
from farm.errors import FarmError

T = TypeVar("T")


class Changed(threading.Condition):
    """Notified whenever results have come, or there is room for calls; the lock of one pool.

    One for all results: to make ten thousand of them costs next to nothing.

    An interrupt (Ctrl-C) between two steps of Python that take or give back the lock would leave it
    taken for ever, and the link's thread waiting for it. `with` therefore uses the lock itself,
    which takes and gives back in one step.

    Args:
        is_bringer: whether the calling thread is the one that brings results: it cannot wait for
            them.
    """

    __enter__ = property(attrgetter("_mutex.__enter__"))
    __exit__ = property(attrgetter("_mutex.__exit__"))

    def __init__(self, is_bringer: Callable[[], bool] = lambda: False) -> None:
        self._mutex = threading.RLock()
        super().__init__(self._mutex)
        self._is_bringer = is_bringer

    def wait(self, timeout: float | None = None) -> bool:
        """As of any `threading.Condition`, by a thread that has taken the lock once.

        Ctrl-C just where the lock has been given back finds nobody who would take it again; `with`
        would then say that it is not taken, in the place of the interrupt.
        """
        try:
            return super().wait(timeout)
        except BaseException:
            if not self._is_owned():  # type: ignore[attr-defined]  # typeshed leaves it out
                self._mutex.acquire()
            raise

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """As of any `threading.Condition`.

        Raises:
            FarmError: it would wait for itself.
        """
        if self._is_bringer() and not predicate():
            raise FarmError(MUST_NOT_WAIT)
        return super().wait_for(predicate, timeout)
