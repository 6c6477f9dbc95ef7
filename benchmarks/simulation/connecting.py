"""Opens connections in threads: farm's own handshake, which waits for the server."""

from __future__ import annotations

import queue
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from farm.errors import FarmError
from farm.wire.address import Address
from farm.wire.channel import Channel
from farm.wire.greeting import greet
from farm.wire.opening import connect

AT_ONCE = 128
"""Handshakes of one process that are on their way at a time; further ones wait for their turn."""

PATIENCE = 60.0
"""Seconds for a handshake: with thousands at once, the last ones wait."""

Adopt = Callable[[Channel], None]


class Connector:
    """Makes connections, and hands them over to a loop that waits for `fileno`.

    Args:
        address: the server's.
        key: its key.
    """

    def __init__(self, address: Address, key: bytes) -> None:
        self._address = address
        self._key = key
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._made: queue.SimpleQueue[tuple[Adopt, Channel | FarmError]] = queue.SimpleQueue()
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)

    def fileno(self) -> int:
        """Readable when `arrived` has something."""
        return self._woken.fileno()

    def open(self, session: str, connection: int, adopt: Adopt) -> None:
        """Open one.

        Args:
            session: see `farm.wire.messages.Hello`.
            connection: its number in the session.
            adopt: what is to be done with it; called by nobody but who asks `arrived`.
        """
        self._pool.submit(self._open, session, connection, adopt)

    def _open(self, session: str, connection: int, adopt: Adopt) -> None:
        self._made.put((adopt, self._connect(session, connection)))
        self._wake.send(b".")

    def _connect(self, session: str, connection: int) -> Channel | FarmError:
        try:
            channel = connect(self._address, self._key, seconds=PATIENCE)
        except FarmError as error:
            return error
        try:
            greet(channel, session, connection)
        except FarmError as error:
            channel.close()
            return error
        return channel

    def arrived(self) -> Iterator[tuple[Adopt, Channel | FarmError]]:
        """What was made since the last call, or why not."""
        try:
            self._woken.recv(4096)
        except BlockingIOError:
            return
        while not self._made.empty():
            yield self._made.get()

    def close(self) -> None:
        """Open nothing more."""
        self._pool.shutdown()
        self._woken.close()
        self._wake.close()
