"""A node does not hand the network more than it takes, and not later than it is to."""

from __future__ import annotations

import time
from types import SimpleNamespace

from farm_harness import KEY

from farm.delivery import MAX_REPORT_BYTES
from farm.engines import base
from farm.wire.address import Address
from farm.wire.leases import Lease
from farm.worker import LOOP_SECONDS, Worker


class StuckChannel:
    """Keeps all that is written."""

    def __init__(self) -> None:
        self.backlog = 0

    def write(self, *pieces: bytes) -> None:
        self.backlog += sum(map(len, pieces))


def test_reports_wait_in_the_node_while_the_network_takes_nothing(tmp_path):
    nothing = lambda *_: None  # noqa: E731
    engine = SimpleNamespace(
        slots=1,
        idle=0,
        add_program=nothing,
        drop_program=nothing,
        cancel=nothing,
        take_back=nothing,
    )
    worker = Worker(engine, Address("127.0.0.1", 1), KEY, name="n1", directory=tmp_path)
    channel = worker._channel = StuckChannel()
    worker._dialogue.id, worker._dialogue._is_in = 1, True
    node, size, count = worker._node, MAX_REPORT_BYTES // 2 + 1, 12
    node.lease(Lease(1, [(0, count)]))
    node.program_ready(1, by_value=False)
    node.chunks(count, 0)
    node.events([base.Part(1, 1, i, i + 1, bytes(size), b"\0\0\0\0") for i in range(count)])
    worker._speak(0)
    assert size <= channel.backlog <= 3 * MAX_REPORT_BYTES
    sent = 0
    while channel.backlog > 0:
        sent += channel.backlog
        channel.backlog = 0
        worker._speak(0)
    assert sent >= count * size


def test_it_waits_no_longer_than_until_what_it_keeps_is_due(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(
        "farm.worker.wait_readable", lambda _, seconds: waited.append(seconds) or []
    )
    nothing = lambda *_: None  # noqa: E731
    engine = SimpleNamespace(
        slots=1, waitables=list, timeout=nothing, add_program=nothing, drop_program=nothing,
        cancel=nothing, take_back=nothing,
    )  # fmt: skip
    worker = Worker(engine, Address("127.0.0.1", 1), KEY, name="n1", directory=tmp_path)
    worker._channel, worker._dialogue._is_in = StuckChannel(), True
    worker._wait()
    worker._node.lease(Lease(1, [(0, 2)], 60.0, pace=3.0))
    worker._node.program_ready(1, by_value=False)
    assert worker._node.chunks(1, 0)
    worker._node.said(time.monotonic())
    worker._node.events([base.Part(1, 1, 0, 1, b"", b"\0\0\0\0")])
    worker._wait()
    worker._channel.backlog = 1  # then it is tried again anyway
    worker._wait()
    assert waited[0] == LOOP_SECONDS
    assert 0.0 < waited[1] <= 3.0
    assert 0.0 < waited[2] < 0.1
