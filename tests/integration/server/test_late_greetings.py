"""A connection that is out of date is told so, or closed: nobody waits on it for ever."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from farm_harness import KEY, PATIENCE, ServerThread

from farm.errors import ProtocolError
from farm.wire import codec
from farm.wire.channel import Channel
from farm.wire.greeting import greet
from farm.wire.messages import Hello, ListBatches
from farm.wire.opening import connect

WHY = "a later connection of this session is here already"


@contextlib.contextmanager
def opened(server: ServerThread) -> Iterator[Channel]:
    """A connection to a server that has not said yet who it is."""
    channel = connect(server.address, KEY)
    try:
        yield channel
    finally:
        channel.close()


def test_who_asks_is_told(server: ServerThread, log: Any) -> None:
    with opened(server) as latest, opened(server) as late:
        greet(latest, "session", 2)
        with pytest.raises(ProtocolError, match=WHY):
            greet(late, "session", 1)
        assert "cut off" in log.wait(WHY)


def test_who_wants_no_answer_is_closed(server: ServerThread, log: Any) -> None:
    with opened(server) as latest, opened(server) as late:
        greet(latest, "session", 2)
        late.write(codec.encode(0, Hello("1", "3.11", "session", 1)))
        late.write(codec.encode(5, ListBatches()))
        with pytest.raises((EOFError, OSError)) as end:
            late.receive(time.monotonic() + PATIENCE)
        assert not isinstance(end.value, TimeoutError)
        assert "cut off" in log.wait(WHY)
