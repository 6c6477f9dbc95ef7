"""What these tests know of farm's inside, in one place."""

from __future__ import annotations

from farm_harness import ServerThread


def waiting(server: ServerThread) -> bool:
    """Whether a request is held back until something happens."""
    return server.call(lambda: bool(server.server._core.waiters._by_batch))
