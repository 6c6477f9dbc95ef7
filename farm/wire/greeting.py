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

STEADY_SECONDS = 10.0
"""A connection that was there for so long is not soon lost."""

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


class Setbacks:
    """Connections in a row that were lost soon after they were there.

    Who is refused what it needs connects anew, because that may pass; where it does not, it is to
    come ever more seldom. Time is passed in, in seconds of a clock that only goes forward.

    Example:
        >>> setbacks = Setbacks()
        >>> setbacks.connected(100.0), setbacks.lost(101.0), setbacks.lost(102.0)
        (None, 1, 2)
    """

    def __init__(self) -> None:
        self._since = -math.inf
        self._count = 0

    def connected(self, now: float) -> None:
        """A connection is there."""
        self._since = now

    def lost(self, now: float) -> int:
        """It is lost; the attempt to begin with (see `pause_before`)."""
        self._count = self._count + 1 if now - self._since < STEADY_SECONDS else 0
        return self._count


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
