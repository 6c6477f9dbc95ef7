"""Waiting for sockets, with poll and where there is none."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time

import pytest

from farm.wire import readiness
from farm.wire.readiness import READ, WRITE, wait_for, wait_readable

PATIENCE = 30.0


@pytest.fixture(params=["poll", "select"], autouse=True)
def _way(request, monkeypatch):
    if request.param == "select":
        monkeypatch.delattr(select, "poll")


@pytest.fixture
def pair():
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


def fill(sock: socket.socket) -> None:
    """Send until nothing more is taken."""
    with contextlib.suppress(BlockingIOError):
        while sock.send(b"x" * 65536):
            continue


def drain(sock: socket.socket) -> None:
    """Read all that is there."""
    with contextlib.suppress(BlockingIOError):
        while sock.recv(1 << 20):
            continue


def test_what_was_sent_can_be_read(pair):
    own, other = pair
    assert wait_for(own, READ, 0.0) == 0
    other.send(b"x")
    assert wait_for(own, READ, PATIENCE) == READ


def test_only_what_is_wanted_is_told(pair):
    own, other = pair
    other.send(b"x")
    assert wait_for(own, WRITE, PATIENCE) == WRITE
    assert wait_for(own, READ | WRITE, PATIENCE) == READ | WRITE
    own.recv(1)
    assert wait_for(own, READ | WRITE, PATIENCE) == WRITE


def test_a_full_socket_with_something_to_read_can_be_read_alone(pair):
    own, other = pair
    fill(own)
    other.send(b"x")
    assert wait_for(own, READ | WRITE, PATIENCE) == READ


def test_a_full_socket_cannot_be_written_until_it_is_read(pair):
    own, other = pair
    fill(own)
    assert wait_for(own, WRITE, 0.0) == 0
    empty = threading.Thread(target=lambda: wait_for(other, READ, PATIENCE) and drain(other))
    empty.start()
    assert wait_for(own, WRITE, PATIENCE) == WRITE
    empty.join(PATIENCE)


def test_the_end_of_the_other_is_something_to_read(pair):
    own, other = pair
    other.close()
    assert wait_for(own, READ, PATIENCE) == READ


def test_it_waits_as_long_as_was_said_and_no_shorter(pair):
    began = time.monotonic()
    assert wait_for(pair[0], READ, 0.03) == 0
    assert time.monotonic() - began >= 0.03


def test_a_closed_socket_is_an_error(pair):
    pair[0].close()
    with pytest.raises(OSError, match="the connection is closed"):
        wait_for(pair[0], READ, 0.0)


def test_those_that_can_be_read_are_given_as_they_were(pair):
    own, other = pair
    reading, writing = os.pipe()
    try:
        things = [own, reading]
        assert wait_readable(things, 0.0) == []
        os.write(writing, b"x")
        assert wait_readable(things, PATIENCE) == [reading]
        other.send(b"x")
        assert set(wait_readable(things, PATIENCE)) == {own, reading}
    finally:
        os.close(reading)
        os.close(writing)


def test_who_waits_for_nothing_waits_for_the_time_alone():
    assert wait_readable([], 0.01) == []


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(-1.0, 0), (0.0, 0), (1e-7, 1), (0.001, 1), (0.0011, 2), (60, 60_000)],
)
def test_milliseconds_are_rounded_up(seconds, milliseconds):
    assert readiness._milliseconds(seconds) == milliseconds
