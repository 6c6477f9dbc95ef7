"""Another journal at the same address: nothing of the old one is taken for something of the new."""

from __future__ import annotations

import farm_tasks as tasks
import pytest
from farm_harness import PATIENCE, ServerThread, eventually

from farm.errors import UsageError


def test_a_node_begins_anew_and_a_session_says_so(server, node, tmp_path):
    other = ServerThread(tmp_path / "another")
    with other.session() as session:
        session.submit(tasks.double, [{"x": 4}])  # batch 1 there, too
    other.stop()
    node("n1", 1)
    old = server.session()
    try:
        old.submit(tasks.began, [{"directory": str(tmp_path), "x": 0}])
        eventually(lambda: list(tmp_path.glob("began-*")), "it runs")
        server.stop()
        server.data = tmp_path / "another"
        server.start()
        with server.session() as new:
            assert list(new.batch(1).results(PATIENCE / 2)) == [8]
        with pytest.raises(UsageError, match="another journal"):
            eventually(lambda: old.batches() is None, "it is refused")
    finally:
        old.close()
