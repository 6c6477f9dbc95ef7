"""A node's heartbeat, on a thread and a connection of its own.

Apart from `farm.worker`, so that a node whose loop is busy is not taken for a dead one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from farm.errors import FarmError
from farm.wire import codec
from farm.wire.channel import Channel
from farm.wire.leases import Beat

log = logging.getLogger("farm.worker")

ANSWER_SECONDS = 3.0
"""A heartbeat that is not answered in that time makes another connection."""


class Heartbeat(threading.Thread):
    """Says that a node is alive, until ``stopped``.

    Args:
        connect: makes a connection; raises `FarmError` where it cannot.
        stopped: ends the thread.
        token: the node's.
        seconds: between two beats.
    """

    def __init__(
        self,
        connect: Callable[[], Channel],
        stopped: threading.Event,
        token: str,
        seconds: float,
    ) -> None:
        super().__init__(name="farm-beat", daemon=True)
        self._make = connect
        self._stopped = stopped
        self._token = token
        self._seconds = seconds

    def run(self) -> None:
        """Beat until stopped; a connection that fails is replaced at the next beat."""
        channel: Channel | None = None
        while not self._stopped.wait(self._seconds):
            try:
                channel = channel or self._make()
                channel.write(codec.encode(1, Beat(self._token)))
                codec.decode_reply(channel.receive(time.monotonic() + ANSWER_SECONDS))
            except (FarmError, OSError, EOFError) as error:
                log.info("a heartbeat failed: %s", error)
                if channel is not None:
                    channel.close()
                    channel = None
        if channel is not None:
            channel.close()
