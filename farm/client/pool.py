"""`farm.Pool`: `multiprocessing.Pool`, whose processes are those of a farm."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from farm.batch import spec as specs
from farm.client import byvalue, mapping
from farm.client.changed import Changed
from farm.client.pending import AsyncResult, Callback, MapResult, ResultIterator
from farm.client.pulling import Pulling
from farm.client.stream import CallStream
from farm.client.submission import can_be_imported
from farm.errors import FarmError

if TYPE_CHECKING:
    from farm.client.session import Session

AHEAD = 20_000
"""Calls of `imap` that may be on the farm, or have results that nobody has taken yet."""

LEAVE_SECONDS = 2.0
"""For so long a pool waits for the server to end what it gives up, and again to forget it."""

_PLAIN = frozenset({bool, bytes, complex, float, int, str, type(None)})


class SessionPool:
    """A pool on a session's farm; `farm.Pool` makes both.

    Args:
        session: closed with the pool.
        options: of everything that is called; those of a batch without any if not given.
    """

    def __init__(self, session: Session, options: specs.Options | None = None) -> None:
        self._session = session
        self._options = options = options or specs.Options()
        self._pid = os.getpid()
        self._changed = Changed(self._is_bringer)
        self._mappings: set[mapping.Mapping] = set()
        self._stream = CallStream(
            session.link, self._changed, "pool", options, self._give_up_mappings
        )
        self._state: Literal["open", "closed", "terminated"] = "open"
        self._leaver: int | None = None  # the thread that terminates it

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._state} on {self._session.address}>"

    # -- single calls -------------------------------------------------------------------------

    def apply(
        self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}
    ) -> Any:
        """Call a function on the farm, and wait for its result.

        Raises:
            Exception: what it raised.

        Example:
            >>> pool.apply(pow, (2, 10))                        # doctest: +SKIP
            1024
        """
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> AsyncResult:
        """Call a function on the farm; its result is to come.

        Args:
            func: is called.
            args: its arguments by position.
            kwds: and by name.
            callback: called with the result by the thread that brings all of them: it must not
                wait for another one.
            error_callback: called with the exception, likewise.

        Raises:
            ValueError: the pool is closed.
        """
        self._check_open()
        result = AsyncResult(self._changed, callback, error_callback)
        try:
            data = _pickled_call(func, tuple(args), dict(kwds))
        except Exception as error:
            # As in `multiprocessing.Pool`, what cannot be sent is the result; pickling runs the
            # objects' own methods, which may raise anything.
            result.fail(error)
        else:
            self._stream.add(data, result)
        return result

    # -- many calls ---------------------------------------------------------------------------

    def map(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> list[Any]:
        """Call a function with each item; the results in order.

        Args:
            func: takes one argument.
            iterable: read to its end before anything is called.
            chunksize: at least 1, and of no further effect: how many calls a process is given at a
                time, the farm finds out by what they take.

        Raises:
            Exception: what the first call that failed raised.

        Example:
            >>> pool.map(abs, [-1, 2, -3])                      # doctest: +SKIP
            [1, 2, 3]
        """
        values: list[Any] = self._map(func, iterable, "one", chunksize).get()
        return values

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> AsyncResult:
        """As `map`; the list is to come."""
        return self._map(func, iterable, "one", chunksize, callback, error_callback)

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[Any]:
        """As `map`, with each item unpacked: ``func(*item)``."""
        values: list[Any] = self._map(func, iterable, "star", chunksize).get()
        return values

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> AsyncResult:
        """As `starmap`; the list is to come."""
        return self._map(func, iterable, "star", chunksize, callback, error_callback)

    def imap(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> ResultIterator:
        """As `map`, one result after the other, as soon as it and all before it are there.

        The iterable may be endless: at most `AHEAD` of its items are on the farm at a time, or have
        results that were not taken.
        """
        return self._imap(func, iterable, chunksize, ordered=True)

    def imap_unordered(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> ResultIterator:
        """As `imap`, in the order in which the results come."""
        return self._imap(func, iterable, chunksize, ordered=False)

    def _map(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        items: Literal["one", "star"],
        chunksize: int | None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> MapResult:
        self._check_open()
        _check_chunksize(chunksize)
        # Copied, as it may be changed meanwhile: as many results are waited for as there are now.
        arguments = iterable if isinstance(iterable, range) else list(iterable)
        result = MapResult(self._changed, len(arguments), callback, error_callback)
        if not arguments:
            return result
        remaining = iter(arguments)

        def send(made: mapping.Mapping) -> None:
            # What cannot be sent is the result, which has been told of it.
            with contextlib.suppress(Exception):
                made.send(lambda count: list(islice(remaining, count)))

        made = self._made(func, items, result, self._over)
        if made is not None:
            self._begin(made, {"farm-map": lambda: send(made)})
        return result

    def _imap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None,
        *,
        ordered: bool,
    ) -> ResultIterator:
        self._check_open()
        _check_chunksize(chunksize)
        results = ResultIterator(self._changed, AHEAD, ordered=ordered)
        pulling = Pulling(self._changed, iterable, results.has_room)

        def over(made: mapping.Mapping) -> None:
            pulling.stop()
            self._over(made)

        def send(made: mapping.Mapping) -> None:
            # What cannot be sent is said by the results, which have been told of it.
            with contextlib.suppress(Exception):
                total = made.send(pulling.take, at_once=True)
                if total is None:  # not all were sent: its end says why
                    return
                if pulling.error is not None:
                    results.put_error(total, pulling.error)
                    total += 1
                results.close(total)

        made = self._made(func, "one", results, over)
        if made is not None:
            threads = {"farm-imap": lambda: send(made), "farm-imap-arguments": pulling.run}
            self._begin(made, threads)
        return results

    def _made(
        self,
        func: Callable[..., Any],
        items: Literal["one", "star"],
        sink: mapping.Sink,
        on_end: Callable[[mapping.Mapping], None],
    ) -> mapping.Mapping | None:
        """A mapping; none if its function cannot be sent, which is its result then."""
        link = self._session.link
        try:
            return mapping.Mapping(link, self._changed, func, items, self._options, sink, on_end)
        except FarmError as error:
            sink.fail(error)
            return None

    def _begin(self, made: mapping.Mapping, threads: dict[str, Callable[[], None]]) -> None:
        """Have threads send a mapping: Ctrl-C, which comes in the main thread, is not for them."""
        try:
            with self._changed:
                self._check_open()
                self._mappings.add(made)
            for name, target in threads.items():
                threading.Thread(target=target, name=name, daemon=True).start()
        except BaseException:  # Ctrl-C: nobody may be there to send it, and to end it
            made.cancel()
            raise

    def _over(self, ended: mapping.Mapping) -> None:
        with self._changed:
            self._mappings.discard(ended)
            self._changed.notify_all()

    # -- its end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no further calls; those that were made go on."""
        with self._changed:
            if self._state == "open":
                self._stream.close()
                self._state = "closed"  # after it: whoever is interrupted may close it again

    def terminate(self) -> None:
        """Give up everything that has no result, and let go of the farm.

        What is open fails. The server is given `LEAVE_SECONDS` to hear of it.
        """
        if self._pid != os.getpid():
            return  # after a fork it is the parent's
        try:
            self._leave()
            self._let_go()
        finally:  # Ctrl-C, wherever it came, ends the waiting alone; what is done already is not
            self._let_go()  # done twice

    def _leave(self) -> None:
        """Give up everything, and wait until the server has ended it."""
        with self._changed:
            if self._state == "terminated":
                return
            self._state, self._leaver = "terminated", threading.get_ident()
        self._stream.cancel()
        if not self._is_bringer():
            with self._changed:
                self._changed.wait_for(self._is_over, LEAVE_SECONDS)
            self._session.link.settle(LEAVE_SECONDS)

    def _give_up_mappings(self) -> None:
        """With the calls of the stream, and so by no thread that Ctrl-C interrupts."""
        with self._changed:
            mappings = list(self._mappings)
        for made in mappings:
            made.give_up()

    def _let_go(self) -> None:
        """Whoever terminates it lets go of the farm, and nobody else."""
        if self._leaver == threading.get_ident():
            try:
                self._session.close()
            finally:
                self._stream.stop()

    def join(self) -> None:
        """Wait until everything that was called has a result.

        Raises:
            ValueError: the pool is still open.
        """
        if self._state == "open":
            raise ValueError("Pool is still running")
        if self._state == "closed":
            with self._changed:
                self._changed.wait_for(self._is_over)
        self.terminate()

    def _is_bringer(self) -> bool:
        """Whether the calling thread is one that calls and results need, and so must not wait."""
        return self._session.link.is_own_thread or self._stream.is_own_thread

    def _is_over(self) -> bool:
        return self._stream.is_over and not self._mappings

    def _check_open(self) -> None:
        if self._state != "open":
            raise ValueError("Pool not running")
        if self._pid != os.getpid():
            raise FarmError("this pool belongs to another process: make one after the fork")

    def __enter__(self) -> SessionPool:
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.terminate()


def _check_chunksize(size: int | None) -> None:
    if size is not None and size < 1:
        raise ValueError(f"Chunksize must be 1+, not {size}")


def _pickled_call(func: Callable[..., Any], args: tuple[Any, ...], kwds: dict[str, Any]) -> bytes:
    """A call, by the quickest way that is right for it."""
    call = (func, args, kwds)
    plain = all(type(value) in _PLAIN for value in (*args, *kwds.values()))
    if plain and can_be_imported(func):
        return pickle.dumps(call, 5)
    return byvalue.dumps(call)
