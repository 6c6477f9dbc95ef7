"""Failed attempts: which are followed by another one, and after how long. Pure."""

from __future__ import annotations

from collections.abc import Callable

from farm.batch.ranges import RangeSet
from farm.batch.spec import MAX_DELAY
from farm.server.states import Batch, Range


def count(state: Batch, index: int, kind: str) -> bool:
    """Count a failed attempt; whether there is another one.

    Args:
        state: the task's batch.
        index: the task.
        kind: of the failure. Crashes are counted by themselves: they may be the machine's fault.
    """
    options = state.options
    state.attempts[index] = state.attempts.get(index, 0) + 1
    if not options.rerun or kind == "lost":
        return False
    if kind == "crash":
        crashes = state.crashes[index] = state.crashes.get(index, 0) + 1
        return crashes < options.crash_limit
    errors = state.errors[index] = state.errors.get(index, 0) + 1
    return errors <= options.retries


def delay(state: Batch, index: int, chance: Callable[[], float]) -> float:
    """Seconds until the next attempt: exponential back-off, varied at random.

    Args:
        state: the task's batch.
        index: the task.
        chance: gives a number from 0 to 1.
    """
    options = state.options
    if not options.delay:
        return 0.0
    before = state.errors.get(index, 0) + state.crashes.get(index, 0) - 1
    try:
        seconds = options.delay * options.backoff**before
    except OverflowError:
        seconds = MAX_DELAY
    return min(MAX_DELAY, seconds) * (1.0 + options.jitter * (2.0 * chance() - 1.0))


def withdraw(
    state: Batch, ranges: list[Range] | None, *, failed_only: bool
) -> tuple[list[Range], list[Range]]:
    """Make tasks pending again that failed or were cancelled; see `Ledger.retry`."""
    # As a set: a task that is named twice is one.
    wanted = RangeSet([(0, state.total)] if ranges is None else ranges)
    failed = [part for r in wanted for part in state.failed.intersection(*r)]
    dropped = [part for r in wanted for part in state.dropped.intersection(*r)]
    if failed_only:
        dropped = []
    for known, found in ((state.failed, failed), (state.dropped, dropped)):
        for start, stop in found:
            known.discard(start, stop)
            state.pending.add(start, stop)
            forgive(state, start, stop)
    return failed, dropped


def forgive(state: Batch, start: int, stop: int) -> None:
    """What failed of ``[start, stop)`` counts no more: the tasks begin anew."""
    for counts in (state.errors, state.crashes):
        if stop - start < len(counts):
            for index in range(start, stop):
                counts.pop(index, None)
        else:
            for index in [index for index in counts if start <= index < stop]:
                del counts[index]


def mark_of(token: str, number: int) -> str:
    """What tells one failure from all others of all nodes.

    Args:
        token: the node's.
        number: that the node gave it.
    """
    return f"{token}:{number}"
