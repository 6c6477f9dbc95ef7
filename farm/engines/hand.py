"""A chunk in the hands of a slot: what of it has been reported, and so what is lost with it."""

from __future__ import annotations

from farm.engines.base import Chunk, Ended, Event, Failed, Part, Returned
from farm.engines.messages import Cut, Done, Failure


class Hand:
    """One chunk. A slot reports its tasks in order, so a position tells it all.

    Args:
        chunk: what the slot was given.
        timeout: seconds each attempt may take, None for no limit.
        careful: the slot reports each task before the next one begins.
    """

    __slots__ = (
        "_gaps",
        "asked_back",
        "cancelled",
        "careful",
        "chunk",
        "position",
        "stop",
        "timeout",
    )

    def __init__(self, chunk: Chunk, timeout: float | None, *, careful: bool = False) -> None:
        self.chunk = chunk
        self.timeout = timeout
        self.careful = careful
        self.position = chunk.start
        self.stop = chunk.stop  # what comes behind it is another's
        self.cancelled = False
        self.asked_back = False
        self._gaps: list[tuple[int, int]] = []  # tasks that were passed over in what was reported

    def owes(self, index: int) -> bool:
        """Whether the task has not been reported."""
        return self.position <= index < self.stop

    def expects(self, message: Done | Failure) -> bool:
        """Whether it can be about this chunk: no task outside of it, none that was reported."""
        # A failure of all that is left may come after the slot was told that others run that.
        stop = self.chunk.stop if isinstance(message, Failure) else self.stop
        return self.position <= message.start < message.stop <= stop

    def take(self, message: Done | Failure) -> list[Event]:
        """The events of what the slot reported, which `expects` it."""
        stop = min(message.stop, self.stop)
        if message.start >= stop:
            return []
        if message.start > self.position:
            self._gaps.append((self.position, message.start))
        self.position = stop
        if isinstance(message, Failure):
            return [self._failed(message, index) for index in range(message.start, stop)]
        chunk = self.chunk
        return [
            Part(
                chunk=chunk.id,
                batch=chunk.batch,
                start=message.start,
                stop=message.stop,
                payload=message.payload,
                seconds=message.seconds,
            )
        ]

    def cut(self, message: Cut) -> list[Event]:
        """The slot will not begin what comes behind the task that it runs."""
        start = max(message.stop, self.position)
        if start >= self.stop:
            return []
        lost, self.stop = [(start, self.stop)], start
        return [Returned(self.chunk.id, self.chunk.batch, lost)]

    def blame(self, index: int, kind: str, message: str, seconds: float) -> list[Event]:
        """The slot ended under the task ``index``: it failed, all others that are owed are lost."""
        failure = Failure(index, index + 1, kind, "", message, "", None, seconds)
        lost = [*self._gaps, (self.position, index), (index + 1, self.stop)]
        return [self._failed(failure, index), self._ended(lost, True)]

    def over(self) -> Ended:
        """The slot is done with the chunk, or has not begun it because it was told not to.

        Tasks of a chunk that ran and that nothing was reported of may have run.
        """
        told = self.asked_back or self.cancelled
        return self.end(begun=not told or self.position > self.chunk.start)

    def end(self, *, begun: bool) -> Ended:
        """The chunk left the slot; what has not been reported is lost.

        Args:
            begun: False if the slot itself said that it did not begin it.
        """
        lost = [*self._gaps, (self.position, self.stop)]
        return self._ended(lost, begun or bool(self._gaps))

    def _failed(self, failure: Failure, index: int) -> Failed:
        return Failed(
            chunk=self.chunk.id,
            batch=self.chunk.batch,
            index=index,
            kind=failure.kind,
            type_name=failure.type_name,
            message=failure.message,
            traceback=failure.traceback,
            exception=failure.exception,
            seconds=failure.seconds,
        )

    def _ended(self, ranges: list[tuple[int, int]], begun: bool) -> Ended:
        lost = [(start, stop) for start, stop in ranges if start < stop]
        return Ended(self.chunk.id, self.chunk.batch, lost, begun=begun and bool(lost))
