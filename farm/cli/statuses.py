"""What a batch's status is in words, for the commands that tell of one."""

from __future__ import annotations

from farm.cli.text import count, duration, rate
from farm.printable import in_line
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


def is_alone(status: Status) -> bool:
    """Whether nothing can go on, because all nodes have gone."""
    return not (status.served or status.running or status.over)


def left(status: Status) -> float | None:
    """Seconds until the end if it goes on like this; None if nothing tells."""
    ended, taken = status.done + status.failed, elapsed(status)
    if status.over or status.state == "paused" or is_alone(status) or not ended or not taken:
        return None
    return (status.total - ended) * taken / ended


def standing(status: Status) -> str:
    """How a batch stands, in a sentence."""
    text = (
        f"Batch {status.batch} ({in_line(status.name)}) is {status.state}: {status.done:,} of "
        f"{count(status.total, 'task')} done"
    )
    if status.failed:
        text += f", {status.failed:,} failed"
    if status.state == "paused" and status.running:
        text += f"; {status.running:,} still running"
    return text + "."


def closing(status: Status) -> str:
    """How a batch ended, why, and which commands show more or go on."""
    name = f"Batch {status.batch} ({status.name})"
    taken = f"{count(status.total, 'task')} in {duration(elapsed(status))} ({rate_of(status)})"
    match status.state:
        case "done":
            return f"{name} is done: {taken}."
        case "failed":
            return (
                f"{name} has ended: {status.failed:,} of {taken} failed. See them with "
                f"`farm results {status.batch} --failed`; `farm retry {status.batch}` tries them "
                "again."
            )
    why = f" ({status.reason})" if status.reason else ""
    return (
        f"{name} was {status.state}{why}: {status.done:,} of {count(status.total, 'task')} were "
        f"done. `farm retry {status.batch}` tries the rest again."
    )
