"""What arrives as a pickle: what it executes, and what it allocates (hazards 1 and 26)."""

from __future__ import annotations

import os
import struct
import sys
from multiprocessing.connection import Client, Listener
from threading import Thread

import hazard_tasks
import pytest
from farm_harness import HOST, KEY, PATIENCE
from kernel import MIB, memory
from stock import Raw, connected, together

from farm.client.link import Link
from farm.client.session import Session
from farm.errors import FarmError, TaskError
from farm.wire.address import Address

MEMO_INDEX = 1 << 23
MEMO_BOMB = b"\x80\x02Nr" + struct.pack("<I", MEMO_INDEX) + b"."
"""LONG_BINPUT: the C unpickler makes room for twice as many pointers as the index says."""


class Made:
    """Its pickle makes a directory."""

    def __init__(self, path: object) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self._path,)


def test_hazard_01_a_pickle_that_is_sent_runs_code_in_the_server(stock, server, tmp_path):
    for port, name in ((stock.port, "stock"), (server.port, "farm")):
        for step in ("request", "call"):
            path = tmp_path / f"{name}-{step}"
            if step == "request":
                with Client((HOST, port), authkey=KEY) as client:
                    client.send((None, "dummy", (Made(path),), {}))
                    kind, _ = client.recv()
            else:
                with Raw(port) as raw:
                    raw.send("put", Made(path))
                    kind, _ = raw.connection.recv()
            assert path.exists() is (name == "stock")
            assert name == "stock" or kind == "#ERROR"
    assert connected(server.port).get_task_queue().qsize() == 0


def test_hazard_01_ten_bytes_allocate_what_they_claim(stock, served):
    farm = served("farm")
    before = {one: memory(one.pid, "VmHWM") for one in (stock, farm)}
    for one in (stock, farm):
        with Client((HOST, one.port), authkey=KEY) as client:
            client.send_bytes(MEMO_BOMB)
            assert client.poll(PATIENCE)
    grown = {one: memory(one.pid, "VmHWM") - was for one, was in before.items()}
    assert grown[farm] < 16 * MIB
    if grown[stock] < 16 * MIB and sys.version_info >= (3, 14):
        pytest.skip("this Python's unpickler keeps a sparse memo (gh-115952)")
    assert grown[stock] > MEMO_INDEX * 8


def test_hazard_01_a_reply_runs_code_in_the_client(tmp_path):
    """Where a key leaks, whoever has it is a server, too."""

    def answer(path: object) -> None:
        with listener.accept() as client:
            client.recv()
            client.send(("#RETURN", Made(path)))

    for name in ("stock", "farm"):
        path = tmp_path / name
        with Listener((HOST, 0), authkey=KEY) as listener:
            rogue = Thread(target=answer, args=(path,))
            rogue.start()
            if name == "stock":
                connected(listener.address[1])
            else:
                with pytest.raises(FarmError):
                    Session(Link(Address(HOST, listener.address[1]), KEY)).close()
            rogue.join(PATIENCE)
        assert path.exists() is (name == "stock")


OF_THE_STOCK_SERVER = """
Manager.register("get_tools")
print(error_of(manager.get_tools().fail))
"""
OF_FARM = """
task = tasks.put(("hazard_tasks:fail",))
print(results.wait(task, 30), error_of(results.__getitem__, task))
"""


def test_hazard_26_an_error_of_a_class_that_the_client_has_not(stock, server, node):
    """A script that runs elsewhere cannot import this directory."""
    node()
    broken, whole = together((OF_THE_STOCK_SERVER, stock.port), (OF_FARM, server.port))
    assert broken == ["ModuleNotFoundError: No module named 'hazard_tasks'"]
    assert whole == ["True RuntimeError: call 0 failed (error): Problem: the disk is full"]
    with server.session() as session:
        batch = session.submit(hazard_tasks.fail)
        with pytest.raises(TaskError, match="Problem: the disk is full"):
            list(batch.results(PATIENCE))
