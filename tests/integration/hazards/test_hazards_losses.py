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
    ports = (stock.port, server.port)
    takers = [start(TAKER, port) for port in ports]
    try:
        for port, taker in zip(ports, takers, strict=True):
            in_process(port).get_task_queue().put(CALL)
            assert "m:f" in taker.stdout.readline()
    finally:
        for taker in takers:
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


def test_hazard_24_a_node_that_is_told_twice_ends_at_once(server, child, tmp_path):
    """Only farm has nodes: a stock process that works for a manager has no orderly end at all."""
    node = child("node", server.port, "n1", 1, 2 * PATIENCE)
    with server.session() as session:
        batch = session.submit(tasks.began, [{"directory": str(tmp_path), "x": 0}])
        eventually(lambda: list(tmp_path.glob("began-0-*")), "it works")
        node.process.send_signal(signal.SIGTERM)
        eventually(lambda: has_taken_signals(node.pid), "it waits for what runs")
        assert node.process.poll() is None
        eventually(lambda: told_again(node), "it does not wait any longer")
        assert node.process.returncode == 0
        assert batch.cancel().done == 0


def told_again(node: Child) -> bool:
    """Tell a node to stop; whether it then does. Signals that come at the same time are one."""
    node.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        node.process.wait(PATIENCE / 10)
    return node.process.returncode is not None
