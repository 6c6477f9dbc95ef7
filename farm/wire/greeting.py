"""The first words on a connection, and when to connect once more, and for how long."""

from __future__ import annotations

import logging
import math
import platform
import random
import time

from farm.errors import NotAuthorisedError, ProtocolError
from farm.version import __version__
from farm.wire import codec
from farm.wire.channel import Channel
from farm.wire.messages import Hello, Welcome
from farm.wire.opening import CONNECT_SECONDS

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

USEFUL_SECONDS = 5.0
"""A connection that lasted for so long was of use."""

REFUSED_SECONDS = 10.0
"""Who was in before and is refused now goes on trying for so long. It is the time after which the
server gives what a silent node runs to others (`farm.server.ledger.SILENT_SECONDS`): until then an
end would lose work, after that waiting saves nothing."""


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
    try:
        channel.write(codec.encode(1, hello))
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


class Backoff:
    """The pauses of one peer before it connects again. Time is passed in.

    They begin anew after a connection that was of use, and not after any: a server, or a proxy
    before it, may take each and drop it, and a node may lose each for want of open files.
    """

    def __init__(self) -> None:
        self._attempt = 0
        self._since = math.inf

    def connected(self, now: float) -> None:
        """There is a connection.

        Args:
            now: seconds on a clock that only goes forward.
        """
        self._since = now

    def lost(self, now: float) -> None:
        """It is lost."""
        if now - self._since >= USEFUL_SECONDS:
            self.was_of_use()

    def was_of_use(self) -> None:
        """The connection is good for what it was made for."""
        self._attempt = 0

    def pause(self) -> float:
        """Seconds to wait before the next attempt."""
        self._attempt += 1
        return pause_before(self._attempt - 1)


class Reprieve:
    """The time of one who was in before, and whom the server refuses when it connects again.

    Its key or certificate may have been replaced on the server a moment ago, and the new file be on
    its way: files are read anew for each connection. Time is passed in.

    After an attempt that failed for another reason its time begins anew.

    Example:
        >>> reprieve, error = Reprieve(), NotAuthorisedError("it does not accept this key")
        >>> logger = logging.getLogger("farm.worker")
        >>> [reprieve.holds(error, now, logger) for now in (100.0, 109.0, 110.0)]
        [True, True, False]
    """

    def __init__(self) -> None:
        self._end: float | None = None

    def holds(self, error: NotAuthorisedError, now: float, log: logging.Logger) -> bool:
        """It is refused: whether it is to try once more.

        Args:
            error: why; logged the first time.
            now: seconds on a clock that only goes forward.
            log: of who is refused.
        """
        if self._end is None:
            self._end = now + REFUSED_SECONDS
            log.warning(
                "refused, trying for %g s in case the right key or certificate comes: %s",
                REFUSED_SECONDS, error,
            )  # fmt: skip
        return now < self._end

    def forget(self) -> None:
        """An attempt has failed for another reason."""
        self._end = None

    def left(self, now: float) -> float:
        """Seconds until the last attempt; infinite where it was not refused, or that is over."""
        return self._end - now if self._end is not None and now < self._end else math.inf
