"""The first words on a connection, and how long to wait before connecting once more."""

from __future__ import annotations

import platform
import random
import time

from farm.errors import ProtocolError
from farm.version import __version__
from farm.wire import codec
from farm.wire.channel import Channel
from farm.wire.messages import Hello, Welcome
from farm.wire.opening import CONNECT_SECONDS

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


def greet(channel: Channel, session: str = "", connection: int = 0) -> Welcome:
    """Say who speaks; the server's answer.

    Args:
        channel: just connected.
        session: see `farm.wire.messages.Hello`.
        connection: the number of this one, from 1.

    Raises:
        ProtocolError: there is none, or it is another one.
    """
    hello = Hello(__version__, platform.python_version(), session, connection)
    channel.write(codec.encode(1, hello))
    try:
        _, welcome = codec.decode_reply(channel.receive(time.monotonic() + CONNECT_SECONDS))
    except (EOFError, OSError) as error:
        raise ProtocolError(f"the server did not answer the greeting: {error}") from error
    if not isinstance(welcome, Welcome):
        raise ProtocolError(f"the server answered the greeting with {welcome}")
    channel.take_frames(welcome.max_frame)
    return welcome


def pause_before(attempt: int) -> float:
    """Seconds to wait before the given attempt (from 0) to connect again.

    Exponential back-off with jitter, so that a thousand peers of a restarted server do not come
    all at once.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(attempt, 16)))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads peers, hides nothing
