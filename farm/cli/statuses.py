"""What a batch's status is in words, for the commands that tell of one."""

from __future__ import annotations

from farm.cli.text import count, duration, rate
from farm.wire.messages import Status

SOME_FAILED = 1
"""The exit code where the command itself worked, but tasks failed or were cancelled."""


def elapsed(status: Status) -> float:
    """Seconds from the first lease to the end, or to now; by the server's clock alone."""
    if not status.started:
        return 0.0
    return max(0.0, (status.ended or status.now) - status.started)


def rate_of(status: Status) -> str:
    """How many tasks ended in how much time."""
    return rate(status.done + status.failed, elapsed(status))


def left(status: Status) -> float | None:
    """Seconds until the end if it goes on like this; None if nothing tells."""
    ended, taken = status.done + status.failed, elapsed(status)
    if status.over or not ended or not taken:
        return None
    return (status.total - ended) * taken / ended


def closing(status: Status) -> str:
    """How a batch ended, and which command shows more."""
    taken = f"{count(status.total, 'task')} in {duration(elapsed(status))} ({rate_of(status)})"
    match status.state:
        case "done":
            return f"Batch {status.batch} ({status.name}) is done: {taken}."
        case "failed":
            return (
                f"Batch {status.batch} ({status.name}) has ended: {status.failed:,} of {taken} "
                f"failed. See them with `farm results {status.batch} --failed`."
            )
    return (
        f"Batch {status.batch} ({status.name}) was {status.state}: {status.done:,} of "
        f"{count(status.total, 'task')} were done."
    )
