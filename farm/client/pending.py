"""Results of a pool that are still to come, as `multiprocessing.pool` knows them."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from multiprocessing import TimeoutError as PoolTimeoutError
from typing import Any

log = logging.getLogger("farm.client")

Callback = Callable[[Any], object]

_OPEN, _DONE, _FAILED = range(3)

_TELL_EVERY = 100
"""Results taken from an iterator after which whoever makes calls looks whether there is room."""


class AsyncResult:
    """What `Pool.apply_async` gives: one result that is still to come.

    Args:
        changed: notified whenever a result of the pool has come; all of them share it.
        callback: called with the value when it is there, by the thread that brings it.
        error_callback: called with the exception if it failed.

    Example:
        >>> pool.apply_async(pow, (2, 10)).get()                # doctest: +SKIP
        1024
    """

    def __init__(
        self,
        changed: threading.Condition,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> None:
        self._changed = changed
        self._callback = callback
        self._error_callback = error_callback
        self._state = _OPEN
        self._is_taken = False
        self._value: Any = None

    def ready(self) -> bool:
        """Whether it has come."""
        return self._state != _OPEN

    def successful(self) -> bool:
        """Whether it is a value.

        Raises:
            ValueError: it has not come.
        """
        if self._state == _OPEN:
            raise ValueError(f"{self!r} not ready")
        return self._state == _DONE

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has come.

        Args:
            timeout: seconds; None for as long as it takes.
        """
        if self._state == _OPEN:
            with self._changed:
                self._changed.wait_for(self.ready, timeout)

    def get(self, timeout: float | None = None) -> Any:
        """The value, once it has come.

        Args:
            timeout: seconds; None for as long as it takes.

        Raises:
            multiprocessing.TimeoutError: it has not come by then.
            Exception: what the call raised, with the remote traceback as its cause.
        """
        self.wait(timeout)
        if self._state == _OPEN:
            raise PoolTimeoutError
        if self._state == _FAILED:
            raise self._value
        return self._value

    def settle(self, value: Any) -> None:
        """It has come, unless it had an end. Whoever calls this notifies ``changed``."""
        self._end(_DONE, value)

    def fail(self, error: BaseException) -> None:
        """It has failed, unless it had an end. Whoever calls this notifies ``changed``."""
        self._end(_FAILED, error)

    def _end(self, state: int, value: Any) -> None:
        is_taken = False
        try:
            with self._changed:  # results come in one thread, and an end may come in another
                if self._is_taken:
                    return
                self._is_taken = is_taken = True
            callback = self._callback if state == _DONE else self._error_callback
            self._callback = self._error_callback = None
            if callback is not None:
                _call(callback, value)
        finally:
            # As in `multiprocessing.pool`, whoever waits goes on when the callback has returned. No
            # other end follows, so that it is told also after Ctrl-C, or without memory.
            if is_taken:
                self._value, self._state = value, state


def _call(callback: Callback, value: Any) -> None:
    try:
        callback(value)
    except BaseException as error:
        # The thread that brings results goes on, also after a SystemExit: other calls wait for it.
        # What interrupts the main thread is not for the callback alone.
        log.exception("a callback of a pool failed")
        if _is_interrupt(error):
            raise


def _is_interrupt(error: BaseException) -> bool:
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and not isinstance(error, Exception)


class MapResult(AsyncResult):
    """What `Pool.map_async` gives: a list of results, of which the first exception is raised.

    Args:
        changed, callback, error_callback: as for `AsyncResult`.
        total: how many results there will be.
    """

    def __init__(
        self,
        changed: threading.Condition,
        total: int,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> None:
        super().__init__(changed, callback, error_callback)
        self._values: list[Any] = [None] * total
        self._left = total
        self._error: BaseException | None = None
        if not total:
            # As `multiprocessing.Pool` has it, there is the empty list, and no callback is called.
            self._callback = self._error_callback = None
            self.settle(self._values)

    def put(self, start: int, values: list[Any]) -> None:
        """Results from the index ``start`` on."""
        self._values[start : start + len(values)] = values
        self._count(len(values))

    def put_error(self, index: int, error: BaseException) -> None:
        """One of the calls failed; the others go on."""
        del index
        if self._error is None:
            self._error = error
        self._count(1)

    def _count(self, came: int) -> None:
        with self._changed:  # results come in one thread, and what could not be sent in another
            self._left -= came
            if self._left:
                return
        if self._error is None:
            self.settle(self._values)
        else:
            self.fail(self._error)


class ResultIterator:
    """What `Pool.imap` gives: results one by one. Any threads may share it.

    Args:
        changed: as for `AsyncResult`.
        ahead: calls that may be made beyond those whose results were taken.
        ordered: in the order of the calls, else as they come.
    """

    def __init__(self, changed: threading.Condition, ahead: int, *, ordered: bool) -> None:
        self._changed = changed
        self._ahead = ahead
        self._ordered = ordered
        self._arrivals = itertools.count()
        self._came: dict[int, tuple[bool, Any]] = {}
        self._taken = 0
        self._total: int | None = None
        self._end: BaseException | None = None

    def __iter__(self) -> ResultIterator:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """The next result.

        Args:
            timeout: seconds; None for as long as it takes.

        Raises:
            StopIteration: there are no more.
            multiprocessing.TimeoutError: it has not come by then.
            Exception: what the call raised.
        """
        with self._changed:
            if not self._is_there():
                self._changed.notify_all()  # for the results that were taken, others may be made
                self._changed.wait_for(self._is_there, timeout)
            found = self._came.get(self._taken)
            if found is None:
                raise self._nothing()
            # Counted before it is removed: after Ctrl-C in between one too many is kept, while the
            # other way round everybody would wait for it.
            self._taken += 1
            self._came.pop(self._taken - 1, None)
            if self._taken % _TELL_EVERY == 0:
                self._changed.notify_all()
        ok, value = found
        if not ok:
            raise value
        return value

    def _is_there(self) -> bool:
        return self._taken in self._came or self._taken == self._total or self._end is not None

    def _nothing(self) -> BaseException:
        """Why there is no next result."""
        if self._taken == self._total:
            return StopIteration()
        return PoolTimeoutError() if self._end is None else self._end

    def has_room(self, made: int) -> bool:
        """Whether another call may follow the ``made`` ones."""
        return made - self._taken < self._ahead

    def put(self, start: int, values: list[Any]) -> None:
        """Results from the index ``start`` on; none behind its end, which may have been told."""
        if self._end is not None:
            return
        places = range(start, start + len(values)) if self._ordered else self._arrivals
        self._came.update((place, (True, v)) for v, place in zip(values, places, strict=False))

    def put_error(self, index: int, error: BaseException) -> None:
        """One of the calls failed; the others go on."""
        if self._end is not None:
            return
        self._came[index if self._ordered else next(self._arrivals)] = False, error

    def close(self, total: int) -> None:
        """No further calls are made: there are ``total`` results, unless it has failed before."""
        with self._changed:
            if self._end is None:
                self._total = total
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """There will be no more results than have come. Whoever calls this notifies ``changed``."""
        if self._end is None:  # not by its truth: an exception's class may say anything to that
            self._end = error
