"""What is sent to one peer, and what is done about one that does not read it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from farm.wire.frames import LARGE, header, joined
from farm.wire.tunnel import Tunnel, TunnelError

log = logging.getLogger("farm.server")

WRITE_HIGH = 4 * 1024 * 1024
"""Bytes of unread answers at which the server stops reading a peer's requests."""

LATE_SECONDS = 0.004
"""For so long a frame that nobody waits for waits for another one."""

MAX_LATE = 100
"""Frames that wait so."""


class Outflow:
    """Frames to one peer.

    Args:
        transport: takes the bytes.
        tunnel: encrypts them; None where there is none.
        seconds: in which the peer must take something of what waits.
        stuck: called if it takes nothing.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        tunnel: Tunnel | None,
        seconds: float,
        stuck: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._tunnel = tunnel
        self._seconds = seconds
        self._stuck = stuck
        self._written = 0
        self._late: list[bytes] = []
        self._sender: asyncio.TimerHandle | None = None  # of what is late by then
        self._timer: asyncio.TimerHandle | None = None
        transport.set_write_buffer_limits(high=WRITE_HIGH)

    @property
    def closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()

    @property
    def unsent(self) -> int:
        """Bytes that the network has not taken yet."""
        return self._transport.get_write_buffer_size()

    def send(self, *pieces: bytes) -> None:
        """Send one frame; nothing happens if the connection is gone.

        Args:
            pieces: what it is made of.
        """
        size = sum(map(len, pieces))
        if self._late or self._tunnel is not None or size >= LARGE:
            self._send([*self._late_parts(), header(size), *pieces])
        elif not self.closing:
            self.write(b"".join((header(size), *pieces)))

    def send_late(self, frame: bytes) -> None:
        """Send one frame together with the next one, in `LATE_SECONDS` at the latest.

        What nobody waits for would take the network, and whoever is woken by it, as long as what
        somebody waits for.
        """
        self._late.append(frame)
        if len(self._late) >= MAX_LATE:
            self._send(self._late_parts())
        elif self._sender is None:
            self._sender = asyncio.get_running_loop().call_later(LATE_SECONDS, self._send_late)

    def _send_late(self) -> None:
        self._sender = None
        if self._late:
            self._send(self._late_parts())

    def _late_parts(self) -> list[bytes]:
        return [part for frame in self._late for part in (header(len(frame)), frame)]

    def _send(self, parts: list[bytes]) -> None:
        self._late = []
        if self.closing:
            return
        if self._tunnel is not None:
            try:
                self.write(self._tunnel.send(b"".join(parts)))
            except TunnelError as error:
                # Whoever answers has others to answer: they are not to hear of it.
                log.info("a tunnel is broken: %s", error)
                self._transport.abort()
        elif max(map(len, parts)) < LARGE:
            self.write(b"".join(parts))
        else:
            for data in joined(parts):
                self.write(data)

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes as they are."""
        self._written += len(data)
        self._transport.write(data)

    def watch(self) -> None:
        """The peer has stopped reading: from now on it must take something now and then."""
        self._look_later(self._taken)

    def relax(self) -> None:
        """It reads again, or is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        """The connection is gone."""
        self.relax()
        if self._sender is not None:
            self._sender.cancel()

    @property
    def _taken(self) -> int:
        """Bytes that the network has taken so far."""
        return self._written - self.unsent

    def _look_later(self, taken: int) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, self._look, taken)

    def _look(self, taken: int) -> None:
        """A slow peer is waited for as long as it takes something."""
        if self._taken == taken:
            self._stuck()
        else:
            self._look_later(self._taken)
