"""Frames over a socket pair, in the sizes and pieces that pipes really bring."""

import os
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.engines import pipe
from farm.engines.pipe import OwnerPipe, frame, read_frame


@pytest.fixture
def ends():
    own, theirs = socket.socketpair()
    owner = OwnerPipe(own)
    yield owner, theirs
    owner.close()
    theirs.close()


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(1, 50))
def test_frames_come_whole_and_in_order_however_they_are_cut(messages, size):
    own, theirs = socket.socketpair()
    owner = OwnerPipe(own)
    stream = b"".join(map(frame, messages))
    found = []
    for at in range(0, len(stream), size):
        theirs.sendall(stream[at : at + size])
        found += owner.receive()
    assert found == messages
    owner.close()
    theirs.close()


def test_receive_never_blocks_on_half_a_frame(ends):
    owner, theirs = ends
    theirs.sendall(frame(b"0123456789")[:7])
    assert owner.receive() == []
    assert not owner.closed
    theirs.sendall(frame(b"0123456789")[7:])
    assert owner.receive() == [b"0123456789"]


def test_send_never_blocks_and_flush_brings_the_rest(ends):
    owner, theirs = ends
    messages = [os.urandom(3_000_000), b"second"]
    for message in messages:
        owner.send(message)
    assert owner.pending
    found = []
    reader = threading.Thread(target=lambda: found.extend(read_frame(theirs) for _ in messages))
    reader.start()
    while reader.is_alive():
        owner.flush()
    assert found == messages
    assert not owner.pending


def test_a_closed_end_is_seen_after_all_that_was_sent(ends):
    owner, theirs = ends
    theirs.sendall(frame(b"last"))
    theirs.close()
    assert owner.receive() == [b"last"]
    assert owner.closed
    owner.send(b"to nobody")
    assert not owner.pending


def test_a_length_beyond_all_bounds_closes_the_pipe(ends, monkeypatch):
    owner, theirs = ends
    monkeypatch.setattr(pipe, "MAX_FRAME", 100)
    theirs.sendall(frame(b"x" * 100) + frame(b"x" * 101))
    assert owner.receive() == [b"x" * 100]
    assert owner.closed


def test_the_slot_sees_the_end_of_its_owner(ends):
    owner, theirs = ends
    owner.close()
    with pytest.raises(EOFError):
        read_frame(theirs)
