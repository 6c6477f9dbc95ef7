"""Failed attempts: which are followed by another one, and after how long. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from farm.batch.rangeblocks import LIMIT
from farm.batch.ranges import RangeSet
from farm.batch.spec import MAX_DELAY
from farm.server.states import Batch, Range
from farm.wire.messages import Failure


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to be tried anew.

    Args:
        ranges: of tasks, in any order; all there are if None.
        failed_only: not those that were cancelled.
        start: those that have failed from this index on; those that were cancelled have been
            taken before, if it is not 0.
        most: so many that have failed at a time.
        more: others will be wanted right after these.
    """

    ranges: list[Range] | None = None
    failed_only: bool = False
    start: int = 0
    most: int = LIMIT
    more: bool = False


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Tasks that are tried anew.

    Args:
        within: all that had failed in these ranges are.
        failed: these, whose failure is thereby taken back.
        dropped: those that had been cancelled.
        excused: all those of both of which there are attempts before the last, which count no more.
        further: where more of what is wanted begins; 0 if this was all.
    """

    within: list[Range]
    failed: RangeSet
    dropped: RangeSet
    excused: RangeSet
    further: int


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


def withdraw(state: Batch, wanted: Wanted) -> Withdrawn:
    """Make tasks pending again that failed or were cancelled; see `Ledger.retry`."""
    # As a set: a task that is named twice is one.
    ranges = RangeSet([(0, state.total)] if wanted.ranges is None else wanted.ranges)
    dropped = RangeSet()
    if not wanted.failed_only and not wanted.start:
        dropped = state.dropped & ranges
    ranges.discard(0, wanted.start)
    within, further = _few(state, ranges, wanted.most)
    failed = state.failed & RangeSet(within)
    state.failed -= failed
    state.dropped -= dropped
    found = failed | dropped
    state.pending |= found
    # What is still to be taken back must not end the batch meanwhile.
    state.spared = state.failed.count if further or wanted.more else 0
    return Withdrawn(within, failed, dropped, _excused(state, found, failed), further)


def _few(state: Batch, wanted: RangeSet, most: int) -> tuple[list[Range], int]:
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


def _excused(state: Batch, found: RangeSet, failed: RangeSet) -> RangeSet:
    """Those of the tasks that have earlier attempts; or all of them, if that is said sooner."""
    # The last attempt of one that has failed is its outcome.
    tried = [i for i in forgive(state, found) if state.attempts[i] > (i in failed)]
    excused = RangeSet((index, index + 1) for index in tried)
    return found if excused.pieces > found.pieces else excused


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


def judged(state: Batch, failure: Failure) -> Failure:
    """The failure; of a task that must not run twice, and whose process died, it is lost."""
    if failure.kind != "crash" or state.options.rerun:
        return failure
    text = f"{failure.text}; the batch says `rerun: false`, so that it is not run again"
    return msgspec.structs.replace(failure, kind="lost", text=text)


def mark_of(token: str, number: int) -> str:
    """What tells one failure from all others of all nodes.

    Args:
        token: the node's.
        number: that the node gave it.
    """
    return f"{token}:{number}"
