"""What is spoken on a connection once the peer is known: farm's protocol, or the manager's."""

from __future__ import annotations

from typing import Protocol

from farm.wire.frames import Frame


class Dialect(Protocol):
    """One of them, on one connection."""

    def receive(self, frame: Frame) -> None:
        """A frame has come.

        Raises:
            ProtocolError: the connection is to be closed.
        """

    def refuse(self, head: bytes, code: str, text: str) -> None:
        """A frame is not served; ``head`` is how it begins."""

    def hear(self) -> None:
        """Something has come; `receive` may follow, and `heard` does."""

    def heard(self) -> None:
        """All that has come by now was received, or waits for others to be served."""

    def relieved(self) -> None:
        """The peer has read what it was sent: there is room for more."""

    def lost(self) -> None:
        """The connection is gone."""
