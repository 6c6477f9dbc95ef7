"""A batch that was submitted: wait for it, look at it, read what came of it."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.batch import spec as specs
from farm.batch.points import Points
from farm.batch.space import Space, from_document
from farm.client import transfer
from farm.client.asking import ask, patience
from farm.client.indices import merged
from farm.client.outcome import Outcome, expand, values_of
from farm.errors import BatchCancelledError, UsageError, WaitTimeoutError
from farm.wire import controls, messages

if TYPE_CHECKING:
    from farm.client.link import Link

POLL_SECONDS = 30.0
"""Seconds a request is held back by the server; then it is asked again."""

RETRY_RANGES = messages.MAX_ITEMS
"""Ranges of tasks to try again that are sent in one message."""

Loads = Callable[[bytes], Any]


class Batch:
    """One batch of a session.

    Example:
        >>> batch = session.submit(pow, params=[...])           # doctest: +SKIP
        >>> for value in batch.results():                       # doctest: +SKIP
        ...     print(value)
    """

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self.id = number
        self._found: messages.SpecFound | None = None

    def __repr__(self) -> str:
        return f"<farm batch {self.id}>"

    def __len__(self) -> int:
        """How many tasks it has (so far, if it is still being submitted)."""
        return self.status().total

    # -- how it stands ------------------------------------------------------------------------

    def status(self, wait: float = 0.0) -> messages.Status:
        """How the batch stands.

        Args:
            wait: seconds to wait for its end; the answer comes then, or after that time.
        """
        return ask(self._link, messages.GetStatus(str(self.id), wait), messages.Status)

    def wait(self, timeout: float | None = None) -> messages.Status:
        """Wait until the batch has ended; its last status.

        Args:
            timeout: seconds; None to wait for as long as it takes.

        Raises:
            WaitTimeoutError: it has not ended by then.

        Example:
            >>> batch.wait(60).state                            # doctest: +SKIP
            'done'
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            request = messages.GetStatus(str(self.id), _left(deadline))
            status = ask(self._link, request, messages.Status, patience(deadline))
            if status.over:
                return status
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeoutError(
                    f"batch {self.id} has not ended within {timeout:g} s: "
                    f"{status.done + status.failed} of {status.total} tasks have"
                )

    def cancel(self) -> messages.Status:
        """Give up what is not done: running tasks are killed, nothing further is run."""
        return ask(self._link, messages.Cancel(str(self.id)), messages.Status)

    # -- control ------------------------------------------------------------------------------
    # Everything is asked by the id: a request that is sent again after a lost connection means
    # the same batch, whatever is the last one of that name by then.

    def pause(self) -> messages.Status:
        """Begin no further task; what runs goes on."""
        return ask(self._link, controls.Pause(str(self.id)), messages.Status)

    def resume(self) -> messages.Status:
        """Go on after `pause`."""
        return ask(self._link, controls.Resume(str(self.id)), messages.Status)

    def retry(self, indices: Iterable[int | range] | None = None, *, failed: bool = False) -> int:
        """Try tasks again that failed or were cancelled; how many.

        Args:
            indices: which; those of them that are done, or not over, stay as they are. All that
                failed or were cancelled if not given.
            failed: only those that failed.

        Raises:
            UsageError: both are given, or something is no index.

        Example:
            >>> batch.retry([3, range(7, 10)])                  # doctest: +SKIP
            4
        """
        if indices is None:
            return self._retry([], failed=failed)
        if failed:
            raise UsageError("retry takes indices, or failed=True for all that failed; not both")
        ranges = merged(indices)
        # No ranges would mean all of them; very many are sent in several messages.
        last = len(ranges) - RETRY_RANGES
        return sum(
            self._retry(ranges[at : at + RETRY_RANGES], failed=False, more=at < last)
            for at in range(0, len(ranges), RETRY_RANGES)
        )

    def _retry(self, ranges: list[messages.Range], *, failed: bool, more: bool = False) -> int:
        tasks = start = 0
        while True:
            request = controls.Retry(str(self.id), ranges, failed, start, more)
            answer = ask(self._link, request, controls.Retried)
            tasks, start = tasks + answer.tasks, answer.further
            if not start:
                return tasks

    def forget(self) -> None:
        """Remove the batch and its outcomes from the server.

        Raises:
            RequestError: it has not ended.
        """
        ask(self._link, controls.Forget(self.id), messages.Done)

    def export(self, directory: str | os.PathLike[str]) -> transfer.Exported:
        """Write the batch and what came of it by now to a directory, as plain files.

        `Session.import_` reads them on another server.

        Args:
            directory: must not exist, or be empty.

        Raises:
            UsageError: it cannot be written, or the batch is still being submitted.
        """
        return transfer.export(self._link, self, Path(directory))

    # -- what came of it ----------------------------------------------------------------------

    def outcomes(
        self, timeout: float | None = None, *, loads: Loads = pickle.loads
    ) -> Iterator[Outcome]:
        """Every task's outcome as it comes, failures as objects.

        Args:
            timeout: seconds to wait for the next one; None for as long as it takes.
            loads: unpickles results.

        Raises:
            WaitTimeoutError: none came in that time.

        Example:
            >>> for outcome in batch.outcomes():                # doctest: +SKIP
            ...     print(outcome.index, outcome.value if outcome.ok else outcome.error)
        """
        cursor = 0
        for page in self._pages(
            lambda at, wait: messages.GetOutcomes(self.id, at, wait), cursor, timeout
        ):
            for part in page.outcomes:
                yield from expand(part, loads)

    def ordered(
        self, timeout: float | None = None, *, start: int = 0, loads: Loads = pickle.loads
    ) -> Iterator[Outcome]:
        """Every task's outcome in index order; ends early if the batch is cancelled.

        Args:
            timeout: seconds to wait for the next one; None for as long as it takes.
            start: the first index.
            loads: unpickles results.

        Raises:
            WaitTimeoutError: the next one did not come in that time.
        """
        for page in self._pages(self._result_page, start, timeout):
            for part in page.outcomes:
                yield from expand(part, loads, start)

    def recorded(
        self, *, start: int = 0, failed: bool = False, loads: Loads = pickle.loads
    ) -> Iterator[Outcome]:
        """The outcomes that there are by now, in index order; nothing is waited for.

        Args:
            start: the first index.
            failed: only those of tasks that failed.
            loads: unpickles results.

        Example:
            >>> for outcome in batch.recorded(failed=True):     # doctest: +SKIP
            ...     print(outcome.error)
        """
        for page in self._pages(
            lambda at, _: messages.GetResults(self.id, at, 0.0, gaps=True, failed=failed),
            start,
            None,
        ):
            for part in page.outcomes:
                yield from expand(part, loads, start)

    def results(self, timeout: float | None = None) -> Iterator[Any]:
        """What the tasks returned, in index order, each as soon as it and all before it are there.

        Raises:
            TaskError: where a task failed.
            BatchCancelledError: the batch was cancelled and the next result will never be.
            WaitTimeoutError: the next one did not come within ``timeout`` seconds.

        Example:
            >>> list(session.submit(abs, params=[...]).results())   # doctest: +SKIP
        """
        count = 0
        for page in self._pages(self._result_page, 0, timeout):
            for part in page.outcomes:
                # Ten million small results are read in seconds: no object is made of each.
                for value in values_of(part):
                    yield value
                    count += 1
        status = self.status()
        if count < status.total:
            why = f": {status.reason}" if status.reason else ""
            raise BatchCancelledError(
                f"batch {self.id} was {status.state} before task {count} ended{why}"
            )

    def __getitem__(self, index: int) -> Any:
        """What one task returned; waits for it.

        Raises:
            IndexError: there is no such task.
            TaskError, BatchCancelledError: as `results`.
        """
        total = len(self)
        if not -total <= index < total:
            raise IndexError(f"batch {self.id} has tasks 0 to {total - 1}, not {index}")
        index %= total
        for outcome in self.ordered(start=index):
            if outcome.index != index:
                break
            if outcome.error is not None:
                raise outcome.error
            return outcome.value
        raise BatchCancelledError(f"batch {self.id} was cancelled before task {index} ended")

    def __iter__(self) -> Iterator[Any]:
        return self.results()

    def _result_page(self, start: int, wait: float) -> messages.Message:
        return messages.GetResults(self.id, start, wait)

    def _pages(
        self, request: Callable[[int, float], messages.Message], cursor: int, timeout: float | None
    ) -> Iterator[messages.Outcomes]:
        def page_after(cursor: int, deadline: float | None) -> messages.Outcomes:
            asked = request(cursor, _left(deadline))
            return ask(self._link, asked, messages.Outcomes, patience(deadline))

        while True:
            deadline = None if timeout is None else time.monotonic() + timeout
            page = page_after(cursor, deadline)
            while not page.outcomes and not page.ended:
                if deadline is not None and time.monotonic() >= deadline:
                    raise WaitTimeoutError(f"nothing came of batch {self.id} within {timeout:g} s")
                page = page_after(cursor, deadline)
            cursor = page.cursor
            yield page
            if page.ended:
                return

    # -- what it is ---------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """As it was submitted; not unique."""
        return self._spec().name

    def space(self) -> Space | None:
        """The parameter space; None if the arguments travelled by value."""
        document = specs.decode(self._spec().spec).space
        return None if document is None else from_document(document)

    def params(self, *, loads: Loads = pickle.loads) -> Callable[[int], Any]:
        """What gives the parameters of a task, by its index.

        Args:
            loads: unpickles those that travelled by value.
        """
        spec = specs.decode(self._spec().spec)
        if spec.space is not None:
            return from_document(spec.space).__getitem__
        blocks: dict[int, tuple[messages.Block, Any]] = {}

        def find(index: int) -> Any:
            for block, items in blocks.values():
                if block.start <= index < block.stop:
                    return _shown(items[index - block.start])
            block = ask(self._link, messages.GetBlock(self.id, index), messages.Block)
            blocks.clear()  # read in order, so that the last one is enough
            blocks[block.start] = (block, _items(loads(block.payload), spec.items))
            return find(index)

        return find

    def _spec(self) -> messages.SpecFound:
        if self._found is None:
            self._found = ask(self._link, messages.GetSpec(self.id), messages.SpecFound)
        return self._found


def _items(unpickled: Any, kind: specs.Items) -> Any:
    """What of a block each of its items can be had of."""
    if kind == "named":
        with suppress(ValueError):  # whatever it is, then
            return Points(unpickled)
    return unpickled


def _shown(item: Any) -> Any:
    """The arguments of a call that travelled by value, as people read them."""
    match item:
        case ((), dict(kwargs)):
            return kwargs
        case (str(target), args, kwargs):
            return {"call": target, "args": list(args), **({"kwargs": kwargs} if kwargs else {})}
        case (args, dict(kwargs)):
            return {"args": list(args), **({"kwargs": kwargs} if kwargs else {})}
    return item


def _left(deadline: float | None) -> float:
    """For how long to let the server hold a request back."""
    left = POLL_SECONDS if deadline is None else deadline - time.monotonic()
    return min(POLL_SECONDS, max(0.0, left))
