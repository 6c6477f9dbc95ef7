"""Requests on their way: their order, what waits while there is no room, and what Ctrl-C leaves."""

from __future__ import annotations

import pytest

from farm.client.outbox import Outbox
from farm.wire import codec
from farm.wire.messages import GetStatus


class Narrow:
    """A channel that takes as many frames at a time as the test says."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.written: list[int] = []
        self.closed = False
        self.interrupt = False

    @property
    def is_full(self) -> bool:
        return len(self.written) >= self.room

    def has_room(self, _size: int) -> bool:
        return not self.is_full

    def flush(self) -> bool:
        return not self.is_full

    def write(self, *pieces: bytes) -> None:
        if self.interrupt:
            raise KeyboardInterrupt
        self.written.append(codec.decode_request(b"".join(pieces))[0])

    def drain(self) -> None:
        self.room += 2

    def close(self) -> None:
        self.closed = True


def put(outbox: Outbox, *numbers: int) -> None:
    for number in numbers:
        request = GetStatus(str(number))
        outbox.put(number, request, codec.encode_pieces(number, request))


def waiting(*numbers: int) -> list[tuple[int, GetStatus]]:
    return [(number, GetStatus(str(number))) for number in numbers]


def test_what_there_is_room_for_goes_at_once():
    channel = Narrow(2)
    outbox = Outbox(channel)  # type: ignore[arg-type]
    put(outbox, 1, 2)
    assert channel.written == [1, 2]
    assert outbox.push()


def test_what_there_is_no_room_for_goes_later_and_is_overtaken_by_nothing():
    channel = Narrow(1)
    outbox = Outbox(channel)  # type: ignore[arg-type]
    put(outbox, 1, 2)
    channel.room = 10
    put(outbox, 3)
    assert channel.written == [1]
    assert outbox.push()
    assert channel.written == [1, 2, 3]


def test_what_was_unanswered_goes_first():
    channel = Narrow(2)
    outbox = Outbox(channel, waiting(4, 5, 6))  # type: ignore[arg-type]
    assert channel.written == []
    put(outbox, 7)
    assert not outbox.push()
    assert channel.written == [4, 5]
    outbox.drain()
    assert channel.written == [4, 5, 6, 7]


def test_a_request_is_sent_as_it_is_by_then():
    channel = Narrow(0)
    outbox = Outbox(channel)  # type: ignore[arg-type]
    request, sent = GetStatus("before"), []
    channel.write = lambda *said: sent.append(codec.decode_request(b"".join(said)))  # type: ignore[method-assign]
    outbox.put(1, request, codec.encode_pieces(1, request))
    request.ref = "after"
    channel.room = 1
    channel.flush = lambda: not sent  # type: ignore[method-assign]
    outbox.push()
    assert sent == [(1, GetStatus("after"))]


def test_one_that_may_be_half_sent_ends_the_connection():
    channel = Narrow(5)
    channel.interrupt = True
    outbox = Outbox(channel, waiting(1))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        outbox.push()
    assert channel.closed
