"""What a link does around a break: hear the server while it sends, forget, close, be disturbed."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fake_line import Line, Network
from farm_harness import KEY, PATIENCE, eventually
from interrupts import interrupted

from farm.client import link as module
from farm.client import putoff
from farm.client.link import Link
from farm.client.once import Reply
from farm.errors import WaitTimeoutError
from farm.wire import codec
from farm.wire.address import Address
from farm.wire.channel import Channel
from farm.wire.frames import FrameReader, header
from farm.wire.messages import Done, GetNodes, GetStatus, Nodes, Refused

MUCH = 8 << 20
"""Bytes that no network takes at once."""


def answer_to(link: Link, seconds: float = PATIENCE) -> Any:
    """What a call gives, asked in a thread that may wait for ever; None if it does."""
    came: list[Any] = []
    call = threading.Thread(target=lambda: came.append(link.call(GetNodes())), daemon=True)
    call.start()
    call.join(seconds)
    return came[0] if came else None


# -- hear while it sends ----------------------------------------------------------------------


class Stubborn:
    """A server that reads nothing while it is not heard; its connections are real ones."""

    def __init__(self) -> None:
        near, self._far = socket.socketpair()
        self.channel = Channel(near)
        self.heard: list[tuple[int, Any]] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        page = codec.encode(0, GetStatus("x" * MUCH))
        self._far.sendall(header(len(page)) + page)
        reader = FrameReader()
        while data := self._far.recv(1 << 18):
            reader.feed(data)
            self.heard += [codec.decode_request(frame) for frame in reader.frames()]

    def stop(self) -> None:
        self._far.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._far.close()


@pytest.fixture
def stubborn() -> Iterator[Stubborn]:
    made = Stubborn()
    yield made
    made.stop()


def test_the_server_is_heard_while_what_is_unanswered_is_sent(network, link, stubborn, monkeypatch):
    """Both would wait for ever: a server that is not heard stops reading."""
    monkeypatch.setattr(module.codec, "decode_reply", lambda _: (0, Done()))
    asked = [GetStatus(letter * MUCH) for letter in "ab"]
    network.lines[0].largest = 2 * MUCH
    for request in asked:
        link.tell(request, Reply())
    network.next.append(stubborn.channel)
    network.lines[0].close()
    eventually(lambda: len(stubborn.heard) == 2, "all of it is sent")
    link.tell(GetNodes(), Reply())
    eventually(lambda: len(stubborn.heard) == 3, "and what follows")
    assert [request for _, request in stubborn.heard] == [*asked, GetNodes()]


# -- forget -----------------------------------------------------------------------------------


def test_an_outage_does_not_count_as_a_server_that_stays_busy(link, network, monkeypatch):
    passed = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(module, "time", clock)
    reply = link.ask(GetNodes())
    network.lines[0].say(network.lines[0].numbers(1)[0], Refused("busy", "too many wait"))
    network.lines[0].numbers(2)
    network.lines[0].close()
    passed[0] = putoff.BUSY_SECONDS + 15.0
    eventually(lambda: len(network.lines) == 2, "it connects again")
    again = network.lines[1]
    again.say(again.numbers(1)[0], Refused("early", "the next block begins at 0"))
    again.say(again.numbers(2)[1], Nodes([]))
    assert reply.result(PATIENCE) == Nodes([])


# -- close ------------------------------------------------------------------------------------


def test_a_link_that_is_closed_while_it_connects_leaves_no_connection(network, monkeypatch):
    link = Link(Address("127.0.0.1", 1), KEY)
    connecting, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Line:
        connecting.set()
        assert go_on.wait(PATIENCE)
        return network.connect(*arguments)

    monkeypatch.setattr(module, "connect", slow)
    network.lines[0].close()
    assert connecting.wait(PATIENCE)
    closing = threading.Thread(target=link.close)
    closing.start()
    eventually(link._closed.is_set, "it is being closed")
    go_on.set()
    closing.join(PATIENCE)
    assert [line.closed for line in network.lines] == [True, True]


# -- be interrupted ---------------------------------------------------------------------------


class Helpful(Line):
    """A line on which everything is answered."""

    def write(self, *pieces: bytes) -> None:
        super().write(*pieces)
        self.say(self.asked[-1][0], Nodes([]))


@pytest.fixture
def helpful(network: Network) -> Iterator[Link]:
    network.make = Helpful
    made = Link(Address("127.0.0.1", 1), KEY)
    yield made
    made.close()


def test_what_is_interrupted_as_it_is_written_is_sent_on_the_next_connection(
    helpful, network, monkeypatch
):
    line = network.lines[0]

    def write(*_: bytes) -> None:
        raise OSError if line.closed else KeyboardInterrupt

    monkeypatch.setattr(line, "write", write)
    with pytest.raises(KeyboardInterrupt):
        helpful.tell(GetStatus("1"), Reply())
    assert line.closed
    assert answer_to(helpful) == Nodes([])
    assert [request for _, request in network.lines[1].asked] == [GetStatus("1"), GetNodes()]


def test_who_waits_for_an_answer_and_is_interrupted_keeps_nobody_from_bringing_it(link, line):
    """As `concurrent.futures.Future` would: its lock stays taken."""

    def wait() -> None:
        with contextlib.suppress(WaitTimeoutError, RuntimeError):
            link.call(GetStatus("1"), 0.001)

    for where in interrupted(("threading.py", "_base.py", "once.py"), wait):
        other = Reply()
        link.tell(GetNodes(), other)
        for number, _ in line.asked:
            line.say(number, Done())
        assert other.result(PATIENCE) == Done(), where
        line.asked.clear()


def test_a_call_that_is_interrupted_anywhere_keeps_no_other_waiting(helpful):
    files = ("client/link.py", "client/outbox.py", "client/once.py", "fake_line.py")
    places = 0
    for where in interrupted(files, lambda: helpful.call(GetStatus("1"))):
        places += 1
        assert answer_to(helpful) == Nodes([]), where
        eventually(lambda: not helpful._asked, f"all is answered after {where}")
    assert places > 10


def test_what_is_interrupted_before_it_is_on_its_way_is_sent_though_nothing_comes(
    link, network, monkeypatch
):
    """The link's own thread waits for an answer alone, as nothing was to be sent when it began."""
    near, far = socket.socketpair()
    network.next.append(Channel(near))
    network.lines[0].close()
    eventually(lambda: isinstance(link._channel, Channel), "it connects again")
    monkeypatch.setattr(link, "drain", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        link.ask(GetStatus("x" * MUCH))
    far.settimeout(PATIENCE)
    reader, heard = FrameReader(), []
    while not heard:
        reader.feed(far.recv(1 << 18))
        heard = [codec.decode_request(frame)[1] for frame in reader.frames()]
    assert heard == [GetStatus("x" * MUCH)]
    far.close()
