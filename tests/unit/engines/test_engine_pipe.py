"""Frames over a socket pair, in the sizes and pieces that pipes really bring."""

import os
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.engines import pipe
from farm.engines.pipe import OwnerGone, OwnerPipe, PipeTaken, SlotPipe, parts, send_all

LARGE = 64 << 10


def frame(data: bytes) -> bytes:
    """The bytes that carry it."""
    return b"".join(parts(data))


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
        owner.send([message])
    assert owner.pending
    found, slot = [], SlotPipe(theirs)

    def read() -> None:
        while len(found) < len(messages):
            found.extend(map(bytes, slot.receive()))  # large ones are lent

    reader = threading.Thread(target=read)
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
    owner.send([b"to nobody"])
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
    with pytest.raises(OwnerGone):
        SlotPipe(theirs).receive()


# -- the slot's end ---------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20), st.integers(1, 50))
def test_a_slot_gets_frames_whole_and_in_order_however_they_are_cut(messages, size):
    own, theirs = socket.socketpair()
    slot, found = SlotPipe(theirs), []
    stream = b"".join(map(frame, messages))

    def read() -> None:
        while len(found) < len(messages):
            found.extend(map(bytes, slot.receive()))  # large ones are lent

    reader = threading.Thread(target=read)
    reader.start()
    for at in range(0, len(stream), size):
        own.sendall(stream[at : at + size])
    reader.join(30.0)
    assert found == messages
    own.close()
    theirs.close()


def test_a_slot_gets_all_that_has_come_at_once(ends):
    owner, theirs = ends
    slot = SlotPipe(theirs)
    owner.send([b"a"], [b""], [b"c"])
    theirs.settimeout(30.0)
    assert slot.receive() == [b"a", b"", b"c"]


def test_half_a_frame_waits_for_its_rest_and_does_not_hold_up_those_before_it(ends):
    owner, theirs = ends
    slot = SlotPipe(theirs)
    theirs.settimeout(0.05)
    owner._link.sendall(frame(b"first") + frame(b"second")[:3])
    assert slot.receive() == [b"first"]
    with pytest.raises(TimeoutError):
        slot.receive()
    owner._link.sendall(frame(b"second")[3:8])
    assert slot.receive() == []
    with pytest.raises(TimeoutError):
        slot.receive()
    owner._link.sendall(frame(b"second")[8:] + frame(b"third"))
    assert slot.receive() == [b"second", b"third"]


def test_a_slot_is_given_what_came_before_the_end_and_no_half_frame(ends):
    owner, theirs = ends
    slot = SlotPipe(theirs)
    owner._link.sendall(frame(b"last") + frame(b"never")[:6])
    owner.close()
    assert slot.receive() == [b"last"]
    with pytest.raises(OwnerGone, match="the owner of the slot is gone"):
        slot.receive()


def test_the_slot_sees_when_it_writes_that_its_owner_is_gone(ends):
    owner, theirs = ends
    owner.close()
    with pytest.raises(OwnerGone):
        send_all(theirs, b"x")


def test_a_pipe_that_a_task_closed_says_nothing_of_the_owner(ends):
    _, theirs = ends
    slot = SlotPipe(theirs)
    os.close(theirs.fileno())
    for use in (slot.receive, lambda: send_all(theirs, b"x")):
        with pytest.raises(PipeTaken):
            use()
    theirs.detach()


def test_frames_of_which_a_task_has_read_a_part_are_not_taken_for_others(ends):
    owner, theirs = ends
    slot = SlotPipe(theirs)
    owner.send([b"whatever it is that was sent"])
    theirs.recv(4)
    assert slot.receive() == []
    with pytest.raises(PipeTaken):
        slot.receive()


class Interrupted:
    """A signal handler raises while a slot waits for its pipe."""

    def recv_into(self, _):
        raise TimeoutError("the task's own")

    def sendall(self, _):
        raise ConnectionResetError("the task's own")


def test_what_a_signal_handler_raises_says_nothing_of_the_owner():
    with pytest.raises(TimeoutError, match="the task's own"):
        SlotPipe(Interrupted()).receive()
    with pytest.raises(ConnectionResetError, match="the task's own"):
        send_all(Interrupted(), b"x")


@pytest.mark.parametrize("size", [LARGE - 1, LARGE, LARGE + 1, 5 * LARGE])
@pytest.mark.parametrize("cut", [3, 4, 5, 4 + LARGE // 2, 1 << 30])
def test_large_frames_come_whole_between_small_ones(ends, size, cut):
    owner, theirs = ends
    messages = [b"small", os.urandom(size), b"", os.urandom(size), b"last"]
    stream = b"".join(map(frame, messages))
    sender = threading.Thread(
        target=lambda: [theirs.sendall(part) for part in (stream[: 9 + cut], stream[9 + cut :])]
    )
    sender.start()
    found = []
    while len(found) < len(messages):
        found += map(bytes, owner.receive())
    sender.join()
    assert found == messages


def test_a_large_message_is_not_copied_to_stand_behind_its_length():
    assert [len(part) for part in parts(bytes(LARGE))] == [4, LARGE]
    assert [len(part) for part in parts(bytes(LARGE - 1))] == [LARGE + 3]
