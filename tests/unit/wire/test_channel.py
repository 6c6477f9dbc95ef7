"""A client's end of a connection, with and without a tunnel, over a pair of sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from farm_harness import PATIENCE, eventually

from farm.wire import channel as module
from farm.wire.channel import Channel
from farm.wire.frames import LARGEST, MAX_FRAME, FrameReader, header
from farm.wire.identity import client_context, server_context
from farm.wire.tunnel import Tunnel, TunnelError


@dataclass
class Both:
    """A channel, and the other end of its connection.

    Args:
        channel: what is tested.
        sock: the server's socket.
        tunnel: the server's end of the tunnel, if there is one.
    """

    channel: Channel
    sock: socket.socket
    tunnel: Tunnel | None = None

    def say(self, frame: bytes) -> None:
        """The server sends a frame."""
        data = header(len(frame)) + frame
        self.sock.sendall(self.tunnel.send(data) if self.tunnel else data)

    def shake_hands(self) -> None:
        """Make the tunnel, and say hello in it."""
        assert self.tunnel is not None
        self.channel.begin()
        while not self.tunnel.established:
            self.sock.sendall(self.tunnel.receive(self.sock.recv(1 << 16))[1])
            if not self.tunnel.established:
                assert self.channel.wait(PATIENCE)
                self.channel.read()

    def heard(self) -> bytes:
        """The next frame that comes from the channel."""
        reader = FrameReader()
        while True:
            data = self.sock.recv(1 << 16)
            reader.feed(self.tunnel.receive(data)[0] if self.tunnel else data)
            for frame in reader.frames():
                return frame


@pytest.fixture
def plain() -> Iterator[Both]:
    near, far = socket.socketpair()
    far.settimeout(PATIENCE)
    with near, far:
        yield Both(Channel(near), far)


@pytest.fixture
def tunnelled(template) -> Iterator[Both]:
    near, far = socket.socketpair()
    far.settimeout(PATIENCE)
    ends = (
        Tunnel(client_context(template / "client"), server=False),
        Tunnel(server_context(template / "server"), server=True),
    )
    with near, far:
        both = Both(Channel(near, tunnel=ends[0]), far, ends[1])
        both.shake_hands()
        yield both


@pytest.fixture(params=["plain", "tunnelled"])
def both(request) -> Both:
    return request.getfixturevalue(request.param)


def later() -> float:
    return time.monotonic() + PATIENCE


def test_frames_go_both_ways(both):
    both.channel.write(b"up")
    assert both.heard() == b"up"
    both.say(b"down")
    both.say(b"and more")
    assert both.channel.receive(later()) == b"down"
    assert both.channel.receive(later()) == b"and more"


def test_what_is_longer_than_the_network_takes_at_once_waits_and_goes(both):
    both.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    both.channel.write(b"x" * 5_000_000)
    assert both.channel.backlog > 0
    got = FrameReader()
    frames = []
    while not frames:
        both.channel.flush()
        data = both.sock.recv(1 << 18)
        got.feed(both.tunnel.receive(data)[0] if both.tunnel else data)
        frames = list(got.frames())
    assert [len(frame) for frame in frames] == [5_000_000]
    assert both.channel.backlog == 0


def test_the_end_of_the_connection_is_told(both):
    both.say(b"last")
    both.sock.close()
    assert both.channel.receive(later()) == b"last"
    with pytest.raises(EOFError):
        both.channel.receive(later())


def test_who_writes_into_a_broken_tunnel_is_told_as_of_a_lost_connection(tunnelled):
    """Whoever sends waits for OSError alone, and connects again."""
    tunnelled.sock.sendall(b"this is no record of TLS at all")
    assert tunnelled.channel.wait(PATIENCE)
    with pytest.raises(TunnelError):
        tunnelled.channel.read()
    with pytest.raises(OSError, match="its tunnel is broken: "):
        tunnelled.channel.write(b"words")


def test_what_a_server_says_that_speaks_no_tls_can_be_read(template):
    near, far = socket.socketpair()
    with near, far:
        channel = Channel(near, tunnel=Tunnel(client_context(template / "client"), server=False))
        channel.begin()
        Both(channel, far).say(b"#REFUSED#busy#it has 3 connections")
        with pytest.raises(TunnelError) as refusal:
            channel.receive(later())
        assert not refusal.value.is_tls
        assert channel.unread() == [b"#REFUSED#busy#it has 3 connections"]


@pytest.mark.parametrize(
    ("taken", "largest"),
    [(1 << 20, MAX_FRAME), (MAX_FRAME, MAX_FRAME), (2 * MAX_FRAME, 2 * MAX_FRAME),
     (2**62, LARGEST)],
)  # fmt: skip
def test_a_servers_messages_may_be_as_long_as_those_it_takes(plain, taken, largest):
    plain.channel.take_frames(taken)
    assert plain.channel.largest == taken
    assert plain.channel._reader.limit == largest


class Interrupted:
    """A socket on which Ctrl-C comes when something has been sent, and before anybody knows."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        self._sock.send(data)
        raise KeyboardInterrupt


def test_an_interrupt_in_the_middle_of_a_frame_ends_the_connection(plain, monkeypatch):
    """What followed would be read as the rest of it, or it would be sent twice."""
    monkeypatch.setattr(plain.channel, "_sock", Interrupted(plain.channel._sock))
    with pytest.raises(KeyboardInterrupt):
        plain.channel.write(b"frame")
    assert plain.channel.fileno() == -1
    assert plain.heard() == b"frame"
    assert plain.sock.recv(1) == b""
    with pytest.raises(OSError):
        plain.channel.write(b"next")


def test_who_waits_may_stop_as_soon_as_all_is_sent(both):
    both.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    both.channel.write(b"x" * 5_000_000)
    assert both.channel.backlog > 0
    reading = threading.Thread(target=both.heard)
    reading.start()
    assert not both.channel.wait(3600.0, or_sent=True)
    assert both.channel.backlog == 0
    reading.join(PATIENCE)
    both.say(b"down")
    eventually(lambda: both.channel.wait(0.0, or_sent=True), "it is told what there is to read")


def test_there_is_room_for_one_frame_and_for_as_many_as_are_allowed_to_wait(plain, monkeypatch):
    monkeypatch.setattr(module, "MAX_BACKLOG", 8_000_000)
    assert plain.channel.has_room(9_000_000)
    plain.channel.write(b"x" * 5_000_000)
    left = 8_000_000 - plain.channel.backlog
    assert plain.channel.has_room(left)
    assert not plain.channel.has_room(left + 1)
    with pytest.raises(OSError, match="the peer does not read"):
        plain.channel.write(b"x" * (left + 1))
