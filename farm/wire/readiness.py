"""Waiting until something can be read or written, a few microseconds at a time.

`multiprocessing.connection.wait` and the selectors make objects for each thing and each call; where
one task goes to and fro, that would be a good part of what it takes.
"""

from __future__ import annotations

import math
import select
import selectors
from collections.abc import Sequence
from multiprocessing import connection
from typing import Any

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def wait_for(sock: Any, wanted: int, seconds: float) -> int:
    """Which of the wanted events a socket has; 0 if none came in time.

    Args:
        sock: the socket.
        wanted: `READ`, `WRITE` or both.
        seconds: to wait at most.

    Raises:
        OSError: it is closed.
    """
    number = sock.fileno()
    if number < 0:
        raise OSError("the connection is closed")
    if not hasattr(select, "poll"):
        reading = [number] if wanted & READ else []
        writing = [number] if wanted & WRITE else []
        can_read, can_write, broken = select.select(reading, writing, [number], seconds)
        return READ * bool(can_read or broken) | WRITE * bool(can_write)
    poll = select.poll()
    poll.register(
        number, (select.POLLIN if wanted & READ else 0) | (select.POLLOUT if wanted & WRITE else 0)
    )
    for _, event in poll.poll(_milliseconds(seconds)):
        # What is broken (POLLHUP, POLLERR) is found out by whoever uses it.
        found = READ if event & ~select.POLLOUT else 0
        return (found | (WRITE if event & ~select.POLLIN else 0)) & wanted
    return 0


def wait_readable(things: Sequence[Any], seconds: float) -> list[Any]:
    """Those of some things that can be read; none if nothing came in time.

    Args:
        things: with a ``fileno``, or descriptors; where there is no poll, whatever
            `multiprocessing.connection.wait` takes.
        seconds: to wait at most.
    """
    if not hasattr(select, "poll"):
        return list(connection.wait(list(things), seconds))
    poll = select.poll()
    by_number = {}
    for thing in things:
        number = thing if isinstance(thing, int) else thing.fileno()
        by_number[number] = thing
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(_milliseconds(seconds))]


def _milliseconds(seconds: float) -> int:
    """Rounded up: to wake too early would be to look in vain."""
    return max(0, math.ceil(seconds * 1000))
