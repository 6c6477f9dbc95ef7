"""Another journal at the same address: nothing of the old one is taken for something of the new."""

from __future__ import annotations

import farm_tasks as tasks
import pytest
from farm_harness import PATIENCE, eventually

from farm.errors import UsageError


def test_a_node_begins_anew_and_a_session_says_so(server, node, tmp_path):
    running = node("n1", 1)
    old = server.session()
    try:
        old.submit(tasks.began, [{"directory": str(tmp_path), "x": 0}])
        eventually(lambda: list(tmp_path.glob("began-*")), "it runs")
        server.stop()
        server.data = tmp_path / "another"
        server.start()
        with server.session() as new:
            eventually(lambda: [n.state for n in new.nodes()] == ["up"], "the node is back")
            batch = new.submit(tasks.double, [{"x": 4}])
            assert list(batch.results(PATIENCE)) == [8]
            assert batch.status().repeated == 0
        assert running.worker._node.held() == []
        with pytest.raises(UsageError, match="another journal"):
            eventually(lambda: old.batches() is None, "it is refused")
    finally:
        old.close()
