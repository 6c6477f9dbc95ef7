"""What these tests know of farm's inside, in one place."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm_harness import ServerThread

from farm.server import connection


def hasty(
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    handshake: float | None = None,
    send: float | None = None,
) -> ServerThread:
    """A server with little patience.

    Args:
        data: the journal's directory.
        monkeypatch: of the test.
        handshake: seconds for the handshake and the first request.
        send: seconds for which a peer may take nothing.
    """
    if handshake is not None:
        monkeypatch.setattr(connection, "HANDSHAKE_SECONDS", handshake)
    if send is not None:
        monkeypatch.setattr(connection, "SEND_SECONDS", send)
    return ServerThread(data)


def waiting(server: ServerThread) -> bool:
    """Whether a request is held back until something happens."""
    return server.call(lambda: bool(server.server._core.waiters._by_batch))
