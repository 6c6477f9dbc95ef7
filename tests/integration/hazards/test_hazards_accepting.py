"""The loop that accepts connections, when something runs out (hazards 6, 7 and 8)."""

from __future__ import annotations

import contextlib
import os
import socket
import time

import pytest
from farm_harness import HOST, KEY, PATIENCE, eventually
from kernel import SHORT, cpu_ticks, descriptors, frozen, is_connected, knock
from stock import Served, ask, read_frame

from farm.client.link import Link
from farm.client.session import Session
from farm.wire.address import Address

NO_THREAD = """
import os, threading
start = threading.Thread.start
def fails_once(thread):
    try:
        os.unlink({path!r})
    except FileNotFoundError:
        start(thread)
    else:
        raise RuntimeError("can't start new thread")
threading.Thread.start = fails_once
"""


def test_hazard_06_a_thread_that_cannot_start_leaves_the_server_deaf(served, tmp_path):
    stock = served("stock", setup=NO_THREAD.format(path=str(tmp_path / "stock")))
    farm = served("farm", setup=NO_THREAD.format(path=str(tmp_path / "farm")))
    assert ask(stock.port, "dummy") is None
    for name in ("stock", "farm"):
        (tmp_path / name).touch()
    with socket.create_connection((HOST, stock.port)):
        eventually(lambda: not (tmp_path / "stock").exists(), "the thread cannot start")
    with socket.create_connection((HOST, stock.port), timeout=SHORT) as other:
        for _ in range(3):
            assert ask(farm.port, "dummy") is None
        with pytest.raises(TimeoutError):
            read_frame(other)
        assert stock.process.poll() is None, "alive and deaf"


OPEN_FILES = 128
FEW_FILES = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({OPEN_FILES}, {OPEN_FILES}))
"""
LONGER_THAN_A_PAUSE = 1.2
"""Seconds; asyncio tries again after one."""
HALF_OF_THEM_GONE = """
import os
eaten = [os.dup(0) for _ in range(64)]
"""


def test_hazard_07_without_descriptors_the_accept_loop_spins(served):
    """Farm takes fewer connections than it may have open files."""
    stock, farm = (
        served("stock", setup=FEW_FILES + HALF_OF_THEM_GONE),
        served("farm", setup=FEW_FILES),
    )
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(Session(Link(Address(HOST, farm.port), KEY)))
        with contextlib.ExitStack() as strangers:
            use_up(strangers, stock)
            for _ in range(OPEN_FILES + 20):
                sock = strangers.enter_context(
                    socket.create_connection((HOST, farm.port), PATIENCE)
                )
                assert sock.recv(1), "each is challenged or turned away"
            assert descriptors(farm.pid) < OPEN_FILES
            spun, idled = used_meanwhile(stock.pid, farm.pid, 30)
            assert spun > 10 * idled
            assert session.batches() == []
        assert ask(farm.port, "dummy") is None
        assert session.batches() == []


def test_hazard_07_nor_does_farm_spin_when_others_have_used_them_up(served):
    """As a journal on a full table of files, or another library in the process, would."""
    farm = served("farm", setup=FEW_FILES + HALF_OF_THEM_GONE)
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(Session(Link(Address(HOST, farm.port), KEY)))
        with contextlib.ExitStack() as strangers:
            use_up(strangers, farm)
            began, before = time.monotonic(), cpu_ticks(farm.pid)
            while time.monotonic() < began + LONGER_THAN_A_PAUSE:
                assert session.batches() == []
                time.sleep(LONGER_THAN_A_PAUSE / 50)
            used = (cpu_ticks(farm.pid) - before) / os.sysconf("SC_CLK_TCK")
            assert used < LONGER_THAN_A_PAUSE / 10
        assert ask(farm.port, "dummy") is None


def use_up(stack: contextlib.ExitStack, server: Served) -> None:
    """Connect until a server has no descriptor left, and then some more."""
    deadline = time.monotonic() + PATIENCE
    while descriptors(server.pid) < OPEN_FILES:
        assert time.monotonic() < deadline, "there are always some left"
        is_connected(stack.enter_context(knock(server.port)))
    for _ in range(3):
        stack.enter_context(knock(server.port))


def used_meanwhile(one: int, other: int, ticks: int) -> tuple[int, int]:
    """Wait until one process has used so much; what it and the other one have used by then."""
    first, second = cpu_ticks(one), cpu_ticks(other)
    eventually(lambda: cpu_ticks(one) >= first + ticks, "it spins")
    return cpu_ticks(one) - first, cpu_ticks(other) - second


def connect_until_one_waits(stack: contextlib.ExitStack, port: int, most: int) -> int:
    """How many connections the kernel completes for a server that does not accept any."""
    for number in range(most):
        if not is_connected(stack.enter_context(knock(port))):
            return number
    return most


def test_hazard_08_a_backlog_of_sixteen_overflows(stock, served):
    farm = served("farm")
    with contextlib.ExitStack() as stack:
        for one in (stock, farm):
            stack.enter_context(frozen(one.pid))
        few = connect_until_one_waits(stack, stock.port, 400)
        assert 0 < few <= 129, "16 and one; 128 and one from Python 3.13 on"
        assert connect_until_one_waits(stack, farm.port, 4 * few) == 4 * few
    assert ask(farm.port, "dummy") is None
