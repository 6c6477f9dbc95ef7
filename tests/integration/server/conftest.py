"""What these tests do with a server: read its log, and ask what a session would not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from farm_harness import KEY, PATIENCE, ServerThread, eventually

from farm.wire import codec
from farm.wire.channel import Channel
from farm.wire.credentials import Credentials
from farm.wire.greeting import greet
from farm.wire.messages import Message
from farm.wire.opening import connect


class Log:
    """What the server logs, as it comes."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def lines(self) -> list[str]:
        """All of it."""
        found = (record for record in self._caplog.records if record.name == "farm.server")
        return [record.getMessage() for record in found if record.levelno >= logging.WARNING]

    def wait(self, text: str) -> str:
        """The first line with a text in it, once there is one."""
        found: list[str] = eventually(
            lambda: [line for line in self.lines if text in line], f"a line with {text!r}"
        )
        return found[0]

    def clear(self) -> None:
        """Forget what was logged."""
        self._caplog.clear()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """What the server logs."""
    caplog.set_level(logging.WARNING, "farm.server")
    return Log(caplog)


class Asker:
    """A connection that speaks farm's protocol, request by request."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.welcome = greet(channel)
        self._number = 1

    def send(self, request: Message) -> int:
        """Ask; the request's number."""
        self._number += 1
        self.channel.write(codec.encode(self._number, request))
        self.channel.drain()
        return self._number

    def hear(self) -> tuple[int, Any]:
        """The next answer, with its request's number."""
        return codec.decode_reply(self.channel.receive(time.monotonic() + PATIENCE))

    def ask(self, request: Message) -> Any:
        """Ask, and have the answer."""
        number = self.send(request)
        answered, body = self.hear()
        assert answered == number
        return body


@pytest.fixture
def asker() -> Iterator[Callable[..., Asker]]:
    """Connects to a server: ``asker(server, credentials)``."""
    opened: list[Asker] = []

    def start(server: ServerThread, credentials: bytes | Credentials = KEY) -> Asker:
        opened.append(Asker(connect(server.address, credentials)))
        return opened[-1]

    yield start
    for one in opened:
        one.channel.close()
