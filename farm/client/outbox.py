"""Requests on their way over one connection, in the order in which they were asked.

After a break there may be very many at once, and whoever sends all of them before it reads may wait
for ever: a server that has as much to say stops reading from a peer that does not read. So what the
network does not take waits here, and is sent by whoever reads, in between.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from farm.wire import codec
from farm.wire.channel import Channel
from farm.wire.messages import Message

Numbered = tuple[int, Message]


class Outbox:
    """One connection's; used by any thread.

    Args:
        channel: the connection.
        waiting: what is to be sent first. What waits is all unanswered: the link's bound for that
            is its bound.
    """

    def __init__(self, channel: Channel, waiting: Iterable[Numbered] = ()) -> None:
        self.channel = channel
        self._waiting = deque(waiting)
        self._lock = threading.Lock()

    def put(self, number: int, request: Message, pieces: list[bytes]) -> None:
        """Send a request after all that wait, now if there is room for it.

        Args:
            number: of the request.
            request: what is asked; encoded once more if it has to wait, as it is by then.
            pieces: the request, encoded.

        Raises:
            OSError: the connection is lost, or its peer takes nothing any more.
        """
        with self._lock:
            if not self._waiting and self.channel.has_room(sum(map(len, pieces))):
                self.channel.write(*pieces)
            else:
                self._waiting.append((number, request))

    def push(self) -> bool:
        """Send what the network takes at once; whether nothing waits here any more.

        Raises:
            OSError: as `put`.
        """
        with self._lock:
            while self._waiting and self.channel.flush():
                self._send_first()
            return not self._waiting

    def _send_first(self) -> None:
        try:
            self.channel.write(*codec.encode_pieces(*self._waiting[0]))
            self._waiting.popleft()
        except BaseException:  # Ctrl-C: it may be on its way, or half of it
            self.channel.close()
            raise

    def drain(self) -> None:
        """Wait until everything is on its way.

        Raises:
            OSError: as `put`.
        """
        while not self.push():
            self.channel.drain()
        self.channel.drain()
