"""A batch's limit on memory: the kernel keeps it while a slot runs a chunk of that batch.

Apart from the loop that runs tasks, because both threads of a slot need room beyond the limit
now and then, for what is farm's own.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from farm.engines.failure import MAX_MESSAGE, CallError, clip, describe
from farm.engines.messages import Failure

if sys.platform == "linux":
    import resource

SUPPORTED = sys.platform == "linux"
"""Elsewhere there is no limit that counts what a process allocates: RLIMIT_DATA is missing, or
leaves out what `mmap` gives."""

RESERVE = 64 << 20
"""Bytes beyond the limit for pickling one result: a task that took all the memory there is, or
whose own result waits to be pickled, is not to make the results of others fail. Only those that
are too large to travel need more."""

_LOST = ("without exception set", "without setting an exception")
"""How a SystemError of CPython ends where there was no memory even for the traceback of the
MemoryError that was raised."""

_UNITS = (("GiB", 1 << 30), ("GB", 10**9), ("MiB", 1 << 20), ("MB", 10**6))

T = TypeVar("T")


class TooLittleMemory(CallError):
    """The limit is below what a slot has before it runs anything."""


class MemoryLimit:
    """The limit of one slot: none, or that of the batch whose chunk it runs.

    It is the soft limit of RLIMIT_DATA (setrlimit(2)): private writable memory, threads' stacks
    included, and inherited by the commands that a task starts. The hard limit stays, so that the
    soft one can be raised again.
    """

    def __init__(self) -> None:
        self.exceeded = False
        """A task needed more: the slot is to exit, as nobody knows what the task left in it."""
        self.eased = _Room(self._use)
        """``with limit.eased:`` nothing is limited; for moments, and for farm's own needs."""
        self.reserve = _Room(self._use)
        """``with limit.reserve:`` there is `RESERVE` more."""
        self._memory: int | None = None
        self._bare = 0
        self._batch: int | None = None
        self._changing = threading.Lock()
        if sys.platform == "linux":
            self._soft, self._hard = resource.getrlimit(resource.RLIMIT_DATA)

    def measure(self) -> None:
        """Take what is allocated now for what a bare slot needs."""
        self._bare = _allocated() if SUPPORTED else 0

    def crowded(self, batch: int, memory: int | None) -> bool:
        """Whether other batches left so much here that this one's tasks had better run elsewhere.

        Args:
            batch: whose chunk is to run.
            memory: its limit.
        """
        before, self._batch = self._batch, batch
        if memory is None or before in (None, batch) or memory <= self._bare:
            return False
        return 2 * (_allocated() - self._bare) > memory - self._bare

    def enter(self, memory: int) -> None:
        """Begin to limit.

        Raises:
            TooLittleMemory: a slot that runs nothing has more already.
        """
        if memory <= self._bare:
            raise TooLittleMemory(
                "",
                f"the memory limit of {size_text(memory)} is below the {size_text(self._bare)} "
                "that a bare slot needs: set a higher one",
            )
        self._change(memory)

    def leave(self) -> None:
        """Limit no longer; harmless if nothing is limited."""
        if self._memory is not None:
            self._change(None)

    def insist(self, function: Callable[[], T]) -> T:
        """Call something of farm's own that can be repeated; it does not fail by the limit."""
        try:
            return function()
        except (MemoryError, SystemError) as error:
            if self._memory is None or not _out_of_memory(error):
                raise
            with self.eased:
                return function()

    def describe(
        self, error: BaseException, start: int, stop: int, seconds: float = 0.0
    ) -> Failure:
        """The failure of tasks in the first thread; after one by the limit nothing is limited.

        Args:
            error: what was raised.
            start: the task that ran.
            stop: one past the last of those that fail if the limit is not the cause; if it is,
                ``start`` alone fails.
            seconds: how long it took.
        """
        memory = self._memory
        if memory is None:
            kind = "crash" if isinstance(error, TooLittleMemory) else "error"
            return describe(error, start, stop, seconds, kind)
        with self.eased:
            error = _found(error)
            if not _out_of_memory(error):
                return describe(error, start, stop, seconds)
            self.leave()
            return self._exceeded(memory, error, start, seconds, "")

    def describe_result(self, error: BaseException, index: int, seconds: float) -> Failure | None:
        """The failure of a task whose result could not be pickled, if the limit is the cause.

        Called by either thread, so the limit stays: another task may be running.
        """
        memory = self._memory
        if memory is None or not _out_of_memory(error):
            return None
        with self.eased:
            return self._exceeded(memory, error, index, seconds, "to have its result pickled ")

    def _exceeded(
        self, memory: int, error: BaseException, index: int, seconds: float, purpose: str
    ) -> Failure:
        self.exceeded = True
        failure = describe(error, index, index + 1, seconds, "crash")
        cause = failure.message
        if not isinstance(error, CallError):
            cause = f"{failure.type_name}: {cause}" if cause else failure.type_name
        message = f"the task needed more {purpose}than its memory limit of {size_text(memory)}"
        message = clip(f"{message} ({cause})", MAX_MESSAGE)
        return msgspec.structs.replace(failure, message=message)

    def _change(self, memory: int | None) -> None:
        with self._changing:
            self._memory = memory
            self._apply()

    def _use(self, room: _Room, more: int) -> None:
        with self._changing:
            room.users += more
            if self._memory is not None:
                self._apply()

    def _apply(self) -> None:
        """Tell the kernel; called with the lock held."""
        if sys.platform != "linux":
            return
        soft = self._soft
        if self._memory is not None and not self.eased.users:
            wanted = min(self._memory + (RESERVE if self.reserve.users else 0), sys.maxsize)
            soft = wanted if soft == resource.RLIM_INFINITY else min(wanted, soft)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, self._hard))


class _Room:
    """Room beyond the limit, while one thread or both are inside."""

    def __init__(self, use: Callable[[_Room, int], None]) -> None:
        self.users = 0
        self._use = use

    def __enter__(self) -> None:
        self._use(self, 1)

    def __exit__(self, *_: object) -> None:
        self._use(self, -1)


def size_text(size: int) -> str:
    """Bytes in the largest unit that gives a whole number, or in MB: ``512 MiB``, ``24.9 MB``."""
    for unit, factor in _UNITS:
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size} bytes"


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether an allocation that failed is the cause, for all that farm or asyncio put around."""
    while isinstance(error, CallError):
        error = error.__cause__
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(MemoryError) is not None
    return isinstance(error, MemoryError) or _is_lost(error)


def _found(error: BaseException) -> BaseException:
    """The MemoryError that CPython has lost, or the error itself."""
    return MemoryError().with_traceback(error.__traceback__) if _is_lost(error) else error


def _is_lost(error: BaseException | None) -> bool:
    return isinstance(error, SystemError) and str(error).endswith(_LOST)


def _allocated() -> int:
    """Bytes that count for RLIMIT_DATA (VmData of proc_pid_status(5)); 0 if nobody says."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    lines = (line.split() for line in status.splitlines())
    return next((int(words[1]) << 10 for words in lines if words[:1] == ["VmData:"]), 0)
