"""A node does not hand the network more than it takes."""

from __future__ import annotations

from types import SimpleNamespace

from farm_harness import KEY

from farm.delivery import MAX_REPORT_BYTES
from farm.engines import base
from farm.wire.address import Address
from farm.wire.leases import Lease
from farm.worker import Worker


class StuckChannel:
    """Keeps all that is written."""

    def __init__(self) -> None:
        self.backlog = 0

    def write(self, frame: bytes) -> None:
        self.backlog += len(frame)


def test_reports_wait_in_the_node_while_the_network_takes_nothing(tmp_path):
    nothing = lambda *_: None  # noqa: E731
    engine = SimpleNamespace(
        slots=1, idle=0, add_program=nothing, drop_program=nothing, cancel=nothing
    )
    worker = Worker(engine, Address("127.0.0.1", 1), KEY, name="n1", directory=tmp_path)
    channel = worker._channel = StuckChannel()
    worker._dialogue.id, worker._dialogue._is_in = 1, True
    node, size, count = worker._node, MAX_REPORT_BYTES // 2 + 1, 12
    node.lease(Lease(1, [(0, count)]))
    node.program_ready(1, by_value=False)
    node.chunks(count, 0)
    node.events([base.Part(1, 1, i, i + 1, bytes(size), b"\0\0\0\0") for i in range(count)])
    worker._speak()
    assert size <= channel.backlog <= 3 * MAX_REPORT_BYTES
    sent = 0
    while channel.backlog > 0:
        sent += channel.backlog
        channel.backlog = 0
        worker._speak()
    assert sent >= count * size
