"""A node that loses one connection after the other, because of what is wrong with itself, say."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest
from farm_harness import KEY, eventually

from farm.wire import greeting
from farm.wire.address import Address
from farm.worker import Worker


def test_pauses_grow_while_no_connection_lasts(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is out of open files, and so reads nothing of what it is sent."""
    attempts: list[int] = []
    monkeypatch.setattr(greeting, "pause_before", lambda n: attempts.append(n) or 0.001)
    nothing = lambda *_: None  # noqa: E731
    engine: Any = SimpleNamespace(
        slots=1, add_program=nothing, drop_program=nothing, cancel=nothing, take_back=nothing
    )
    worker = Worker(engine, Address("127.0.0.1", 1), KEY, name="n1", directory=tmp_path)
    channel = SimpleNamespace(largest=1 << 20, server="1", write=nothing, close=nothing)
    monkeypatch.setattr(worker, "_connect_main", lambda: channel)
    worker._adopt(channel)  # type: ignore[arg-type]
    for _ in range(4):
        worker._disconnected(OSError(errno.EMFILE, "too many open files"))
        eventually(lambda: not worker._arrived.empty(), "another one")
        worker._take_connection()
    assert attempts == [0, 1, 2, 3]
    assert worker._connecting is not None
    worker._connecting.join()
    worker._shelf.close()
