"""Failed attempts: which are followed by another one, and after how long. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from farm.batch.ranges import RangeSet
from farm.batch.spec import MAX_DELAY
from farm.server.states import Batch, Range


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Tasks that are tried anew.

    Args:
        failed: those whose failure is thereby taken back.
        dropped: those that had been cancelled.
        excused: those of both of which there are attempts before the last that count no more.
    """

    failed: RangeSet
    dropped: RangeSet
    excused: RangeSet


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


def few_of(state: Batch, wanted: RangeSet, most: int) -> tuple[list[Range], int]:
    """The first of the tasks that are wanted, as far as so many of them have failed.

    Returns:
        Their ranges, and where the others begin; 0 if there are none.
    """
    kept: list[Range] = []
    for start, stop in wanted:
        for first, last in state.failed.walk(start):
            if first >= stop:
                break
            last = min(last, stop)
            if last - first > most:
                cut = first + most
                return ([*kept, (start, cut)] if cut > start else kept), cut
            most -= last - first
        kept.append((start, stop))
    return kept, 0


def withdraw(state: Batch, ranges: list[Range] | None, *, failed_only: bool) -> Withdrawn:
    """Make tasks pending again that failed or were cancelled; see `Ledger.retry`."""
    # As a set: a task that is named twice is one.
    wanted = RangeSet([(0, state.total)] if ranges is None else ranges)
    failed = state.failed & wanted
    dropped = RangeSet() if failed_only else state.dropped & wanted
    state.failed -= failed
    state.dropped -= dropped
    found = failed | dropped
    state.pending |= found
    # The last attempt of one that has failed is its outcome.
    excused = [i for i in forgive(state, found) if state.attempts[i] > (i in failed)]
    return Withdrawn(failed, dropped, RangeSet((index, index + 1) for index in excused))


def forgive(state: Batch, tasks: RangeSet) -> set[int]:
    """What failed of these tasks counts no more: they begin anew. Those that had failed."""
    forgiven: set[int] = set()
    for counts in (state.errors, state.crashes):
        if tasks.count < len(counts):
            known = [i for part in tasks for i in range(*part) if i in counts]
        else:
            known = [index for index in counts if index in tasks]
        for index in known:
            del counts[index]
        forgiven.update(known)
    return forgiven


def mark_of(token: str, number: int) -> str:
    """What tells one failure from all others of all nodes.

    Args:
        token: the node's.
        number: that the node gave it.
    """
    return f"{token}:{number}"
