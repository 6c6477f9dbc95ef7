"""Frames cut from a stream of bytes."""

from __future__ import annotations

import itertools
import socket
import struct
import tracemalloc
from multiprocessing.connection import Connection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import ProtocolError
from farm.wire.frames import LARGE, LARGEST, FrameReader, Oversized, header


def stream_of(frames: list[bytes]) -> bytes:
    return b"".join(header(len(frame)) + frame for frame in frames)


@given(st.lists(st.binary(max_size=60), max_size=8), st.data())
def test_any_split_of_a_stream_gives_the_same_frames(frames, data):
    stream = stream_of(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    reader, found = FrameReader(60), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.feed(stream[start:stop])
        found.extend(reader.frames())
    assert found == frames
    assert reader.buffered == 0


def test_byte_by_byte():
    reader, found = FrameReader(), []
    for byte in stream_of([b"one", b"", b"three"]):
        reader.feed(bytes([byte]))
        found.extend(reader.frames())
    assert found == [b"one", b"", b"three"]


def test_a_length_of_64_bits_is_read():
    reader = FrameReader()
    reader.feed(struct.pack("!iQ", -1, 3) + b"abc" + header(1) + b"d")
    assert list(reader.frames()) == [b"abc", b"d"]


def test_a_length_of_64_bits_may_come_in_pieces():
    reader = FrameReader()
    for byte in struct.pack("!iQ", -1, 3) + b"ab":
        reader.feed(bytes([byte]))
        assert list(reader.frames()) == []
    reader.feed(b"c")
    assert list(reader.frames()) == [b"abc"]


def test_the_header_of_a_long_frame_is_of_64_bits():
    assert header(2**31 - 1) == struct.pack("!i", 2**31 - 1)
    assert header(2**31) == struct.pack("!iQ", -1, 2**31)


@pytest.mark.parametrize(
    "claim",
    [struct.pack("!i", 11), struct.pack("!i", -2), struct.pack("!i", -(2**31)),
     struct.pack("!iQ", -1, 11), struct.pack("!iQ", -1, 2**64 - 1)],
)  # fmt: skip
def test_a_claim_above_the_limit_is_refused_before_its_bytes_come(claim):
    reader = FrameReader(10)
    reader.feed(claim)
    with pytest.raises(ProtocolError, match="the limit is 10"):
        next(reader.frames())


def test_a_frame_at_the_limit_is_taken():
    reader = FrameReader(10)
    reader.feed(stream_of([b"x" * 10]))
    assert list(reader.frames()) == [b"x" * 10]


def test_the_limit_may_rise_between_two_frames_that_came_together():
    reader = FrameReader(3)
    reader.feed(stream_of([b"abc", b"longer"]))
    frames = reader.frames()
    assert next(frames) == b"abc"
    reader.limit = 6
    assert next(frames) == b"longer"


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=5))
def test_the_standard_library_reads_and_writes_the_same_frames(frames):
    ours, theirs = socket.socketpair()
    with ours, Connection(theirs.detach()) as connection:
        ours.sendall(stream_of(frames))
        assert [connection.recv_bytes() for _ in frames] == frames
        for frame in frames:
            connection.send_bytes(frame)
        reader, found = FrameReader(), []
        while len(found) < len(frames):
            reader.feed(ours.recv(4096))
            found.extend(reader.frames())
        assert found == frames


# -- frames above the limit -------------------------------------------------------------------


@given(st.lists(st.binary(max_size=120), max_size=8), st.integers(0, 60), st.data())
def test_what_is_above_the_limit_is_skipped_in_any_split(frames, limit, data):
    """Of each such frame there is its length and how it begins, in its place among the others."""
    stream = stream_of(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    reader, found, most = FrameReader(limit, skip=True), [], 0
    for start, stop in itertools.pairwise([0, *cuts, len(stream)]):
        reader.feed(stream[start:stop])
        found.extend(reader.parts())
        most = max(most, reader.buffered)
    assert found == [
        frame if len(frame) <= limit else Oversized(len(frame), frame[:16]) for frame in frames
    ]
    assert reader.buffered == 0
    assert most < max(limit, 16) + 12


@given(st.lists(st.integers(0, 50), max_size=30))
def test_what_is_above_the_limit_is_not_kept(pieces):
    reader = FrameReader(10, skip=True)
    reader.feed(header(1000) + b"x" * 16)
    assert reader.take() == Oversized(1000, b"x" * 16)
    left = 1000 - 16
    for size in pieces:
        size = min(size, left)
        reader.feed(b"x" * size)
        left -= size
        assert reader.take() is None
        assert reader.buffered == 0
    reader.feed(b"x" * left + stream_of([b"next"]))
    assert reader.take() == b"next"


def test_the_head_of_a_frame_is_waited_for_and_may_be_all_of_it():
    reader = FrameReader(3, skip=True)
    for byte in stream_of([b"12345", b"abc"])[:-1]:
        reader.feed(bytes([byte]))
    assert list(reader.parts()) == [Oversized(5, b"12345")]
    reader.feed(b"c")
    assert list(reader.parts()) == [b"abc"]


def test_without_skipping_it_is_an_error():
    reader = FrameReader(3)
    reader.feed(stream_of([b"12345"]))
    with pytest.raises(ProtocolError, match="a frame of 5 bytes; the limit is 3"):
        reader.take()


@pytest.mark.parametrize("size", [LARGEST + 1, 2**40, 2**64 - 1])
def test_what_is_longer_than_any_message_is_not_skipped(size):
    reader = FrameReader(3, skip=True)
    reader.feed(struct.pack("!iQ", -1, size))
    with pytest.raises(ProtocolError, match=f"a frame of {size} bytes"):
        reader.take()


def test_what_a_frame_on_its_way_claims_is_known_from_its_header_on():
    reader = FrameReader(100, skip=True)
    assert reader.claimed == 0
    reader.feed(header(50)[:3])
    assert reader.claimed == 0
    reader.feed(header(50)[3:])
    assert reader.claimed == 50
    reader.feed(b"x" * 50)
    assert reader.take() == b"x" * 50
    assert reader.claimed == 0
    reader.feed(header(101))
    assert reader.claimed == 0, "it will not be kept"


def poured(reader: FrameReader, data: bytes, most: int) -> list[bytes]:
    """The frames of what the network puts where the reader wants it, so many bytes at a time."""
    found = []
    while data:
        with reader.space() as space:
            count = min(len(space), most, len(data))
            space[:count] = data[:count]
        reader.filled(count)
        found += [bytes(frame) for frame in reader.frames()]
        data = data[count:]
    return found


@given(
    sizes=st.lists(
        st.sampled_from([0, 1, 100, LARGE - 1, LARGE, LARGE + 1, 5 * LARGE]), max_size=6
    ),
    most=st.sampled_from([1000, 4096, LARGE - 3, LARGE, 3 * LARGE, 1 << 20]),
    fed=st.booleans(),
)
def test_large_frames_are_read_to_where_they_are_to_be(sizes, most, fed):
    frames = [bytes([number]) * size for number, size in enumerate(sizes)]
    data = b"".join(header(len(frame)) + frame for frame in frames)
    reader = FrameReader()
    if fed:
        found = []
        for at in range(0, len(data), most):
            reader.feed(data[at : at + most])
            found += [bytes(frame) for frame in reader.frames()]
    else:
        found = poured(reader, data, most)
    assert found == frames
    assert reader.buffered == 0


def test_what_is_claimed_takes_no_room_before_it_comes():
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        readers = [FrameReader(scratch=memoryview(bytearray(4))) for _ in range(50)]
        for reader in readers:
            reader.feed(header(60 << 20) + bytes(1000))
            assert reader.take() is None
            assert reader.claimed == 60 << 20
            reader.feed(bytes(1000))
            assert (reader.take(), reader.buffered) == (None, 2000)
        assert tracemalloc.get_traced_memory()[0] - before < 50 * 100_000
    finally:
        tracemalloc.stop()
