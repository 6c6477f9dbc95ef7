"""Arguments that were lost on the server's disk: their tasks fail, and the farm goes on."""

from __future__ import annotations

import os
import sqlite3

import farm_tasks as tasks
import pytest
from farm_harness import PATIENCE

from farm.errors import BatchCancelledError


@pytest.mark.parametrize("size", [40_000, 3_000_000], ids=["a block for all", "blocks for each"])
def test_a_batch_whose_arguments_were_lost_ends_and_the_node_goes_on(
    server, node, session, caplog, size
):
    lost = session.submit(tasks.double, [{"x": bytes([at]) * size} for at in range(4)])
    server.stop()  # what it read or wrote lately it has in memory
    for path in (server.data / "payloads").rglob("*"):
        if path.is_file():
            os.truncate(path, path.stat().st_size - 1000)
    server.start()
    healthy = session.submit(tasks.double, [{"x": x} for x in range(20)])
    node("n1", 2)
    assert list(healthy.results(PATIENCE)) == [2 * x for x in range(20)]
    failed = [outcome.error for outcome in lost.outcomes(PATIENCE) if outcome.error is not None]
    assert {(error.kind, error.type_name) for error in failed} == {("error", "BlockError")}
    assert len(failed) == (4 if size < 100_000 else 1), "what is whole is run"
    assert "the file of large payloads of batch 1" in failed[0].message
    told = [record.getMessage() for record in caplog.records if record.name == "farm.worker"]
    assert not any("is lost" in line for line in told), "the node need not connect anew for that"


def test_a_batch_whose_program_was_altered_ends_with_the_reason_and_no_node_leaves(
    server, node, session
):
    lost = session.submit(tasks.double, [{"x": x} for x in range(1000)])
    server.stop()
    db = sqlite3.connect(server.data / "journal.sqlite")
    with db:
        db.execute("UPDATE batches SET spec = x'c1'")
    db.close()
    server.start()
    healthy = session.submit(tasks.double, [{"x": x} for x in range(20)])
    for name in ("n1", "n2"):
        node(name, 2)
    assert list(healthy.results(PATIENCE)) == [2 * x for x in range(20)]
    status = lost.wait(PATIENCE)
    assert (status.state, status.done + status.failed) == ("cancelled", 0)
    with pytest.raises(BatchCancelledError, match="its program was lost on the server's disk"):
        list(lost.results(PATIENCE))
    assert [one.state for one in session.nodes()] == ["up", "up"]
