"""What is lost when a process ends: a worker, or the server (hazards 15 and 24)."""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
from threading import Thread

import farm_tasks as tasks
import pytest
from farm_harness import HOST, KEY, PATIENCE, Child, eventually
from kernel import has_taken_signals
from plain_scripts import in_process, start
from stock import Raw

from farm.client.link import Link
from farm.client.session import Session
from farm.wire.address import Address

CALL = ("m:f", (1,), {})
TAKER = "print(tasks.get(True, 20), flush=True); time.sleep(600)"


def test_hazard_15_what_a_process_took_dies_with_it(stock, server):
    for port in (stock.port, server.port):
        assert in_process(port).get_task_queue().put(CALL) in (None, 0)
        taker = start(TAKER, port)
        try:
            assert "m:f" in taker.stdout.readline()
        finally:
            taker.kill()
            taker.communicate()
    with pytest.raises(queue.Empty):
        in_process(stock.port).get_task_queue().get(True, 0.2)
    assert in_process(server.port).get_task_queue().get(True, PATIENCE) == (0, *CALL)


def test_hazard_24_a_server_that_is_stopped_forgets_what_it_acknowledged(served):
    stock, farm = served("stock"), served("farm")
    session = Session(Link(Address(HOST, farm.port), KEY))
    with session:
        for one in (stock, farm):
            with Raw(one.port) as raw:
                raw.call("put", CALL)
        with Raw(stock.port) as raw, Raw(farm.port) as other:
            assert other.call("get", False)[1:] == CALL, "which farm has not heard the end of"
            calling = Thread(target=wait_for_more, args=(raw,))
            calling.start()
            for one in (stock, farm):
                one.process.send_signal(signal.SIGTERM)
            assert (stock.code(), farm.code()) == (-signal.SIGTERM, 0)
            calling.join(PATIENCE)
        stock, farm = served("stock", port=stock.port), served("farm", port=farm.port)
        with Raw(stock.port) as raw:
            assert raw.call("qsize") == 0
        with Raw(farm.port) as raw:
            assert raw.call("get", True, PATIENCE)[1:] == CALL
        assert session.status("queue").total == 1, "and a session just goes on"


def wait_for_more(raw: Raw) -> None:
    """The call in flight: its answer never comes."""
    with pytest.raises((EOFError, ConnectionError)):
        [raw.call("get") for _ in range(2)]


def test_hazard_24_a_node_ends_what_it_runs_and_at_once_when_told_twice(server, child, tmp_path):
    """Only farm has nodes: a stock process that works for a manager has no orderly end at all."""
    go, patience = tmp_path / "go", 2 * PATIENCE
    first, second = (child("node", server.port, name, 1, patience) for name in ("a", "b"))
    with server.session() as session:
        batch = session.submit(tasks.wait_for, [{"path": str(go), "x": x} for x in range(2)])
        eventually(lambda: batch.status().running == 2, "both work")
        for node in (first, second):
            node.process.send_signal(signal.SIGTERM)
            eventually(lambda node=node: has_taken_signals(node.pid), "the first one")
        eventually(lambda: told_again(second), "it ends at once")
        assert second.process.returncode == 0
        assert first.process.poll() is None
        go.touch()
        assert first.process.wait(PATIENCE) == 0
        assert batch.status().done == 1, "what was running has been delivered"


def told_again(node: Child) -> bool:
    """Tell a node to stop; whether it then does. Signals that come at the same time are one."""
    node.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        node.process.wait(PATIENCE / 10)
    return node.process.returncode is not None
