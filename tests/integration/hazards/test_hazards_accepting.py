"""The loop that accepts connections, when something runs out (hazards 6, 7 and 8)."""

from __future__ import annotations

import contextlib
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
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({OPEN_FILES}, {OPEN_FILES}))
eaten = [os.dup(0) for _ in range(60)]
"""
"""So many are gone that a limit of connections alone, which farm has, would not help."""


def test_hazard_07_without_descriptors_the_accept_loop_spins(served):
    stock = served("stock", setup=FEW_FILES)
    farm = served("farm", setup=FEW_FILES)
    with Session(Link(Address(HOST, farm.port), KEY)) as session:
        with contextlib.ExitStack() as stack:
            use_up(stack, stock)
            for _ in range(OPEN_FILES + 20):
                stack.enter_context(knock(farm.port))
            eventually(lambda: descriptors(farm.pid) > OPEN_FILES / 2, "many are used up")
            eventually(lambda: is_idle(farm.pid), "farm has nothing to do")
            spun, idled = used_meanwhile(stock.pid, farm.pid, 30)
            assert spun > 10 * idled
            assert session.batches() == []
        assert ask(farm.port, "dummy") is None
        assert session.batches() == []


def use_up(stack: contextlib.ExitStack, server: Served) -> None:
    """Connect until a server has no descriptor left, and then some more."""
    deadline = time.monotonic() + PATIENCE
    while descriptors(server.pid) < OPEN_FILES:
        assert time.monotonic() < deadline, "there are always some left"
        is_connected(stack.enter_context(knock(server.port)))
    for _ in range(3):
        stack.enter_context(knock(server.port))


def is_idle(pid: int) -> bool:
    """Whether a process uses no processor time for a while."""
    before = cpu_ticks(pid)
    with contextlib.suppress(AssertionError):
        eventually(lambda: cpu_ticks(pid) > before, seconds=0.1)
        return False
    return True


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
