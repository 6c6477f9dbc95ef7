"""Peers that say nothing, vanish, claim too much or read nothing (hazards 4, 5, 21 and 22)."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
from pathlib import Path

import pytest
from farm_harness import PATIENCE, eventually
from kernel import (
    KEEPALIVE,
    MIB,
    NO_TIMER,
    RESENDING,
    connections,
    memory,
    other_end,
    threads,
)
from stock import Raw, ask, rest, stranger

from farm.limits import Limits

HERE = os.getpid()
GIB = 1024 * MIB
FEW = 5
ALONE = 2
"""Threads of a stock server that serves nobody: the main one, and the one that accepts."""


def test_hazard_04_a_silent_peer_holds_a_thread(stock, serve):
    server = serve(limits=Limits(handshake_timeout=0.2))
    before_here = threading.active_count()
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(stranger(stock.port)) for _ in range(FEW)]
        eventually(lambda: threads(stock.pid) == ALONE + FEW, "a thread for each")
        silent = [stack.enter_context(stranger(server.port)) for _ in range(FEW)]
        assert threading.active_count() == before_here
        assert [rest(sock) for sock in silent] == [b""] * FEW, "farm cuts them off"
        # As silent, and for longer:
        assert threads(stock.pid) == ALONE + FEW
        assert select.select(held, [], [], 0)[0] == []
    assert ask(server.port, "dummy") is None


def timer(pid: int, sock: socket.socket) -> str:
    """Which timer the other end of a connection has, once nothing of it is under way."""

    def settled() -> str:
        end = other_end(pid, sock.getsockname()[1])
        return "" if end is None or end.timer == RESENDING else end.timer

    return eventually(settled, "everything is acknowledged")


def test_hazard_05_a_peer_that_has_vanished_is_never_missed(stock, server):
    with stranger(stock.port) as first, stranger(server.port) as second:
        assert timer(stock.pid, first) == NO_TIMER
        assert timer(HERE, second) == KEEPALIVE
        with other_socket(second) as kept:
            assert kept.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert kept.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) > 0


def test_hazard_05_nor_is_a_server(stock, server, session):
    with Raw(stock.port):
        of_stock = {line.timer for line in connections(HERE) if line.remote == stock.port}
    assert KEEPALIVE not in of_stock
    assert session.nodes() == []
    eventually(
        lambda: (
            [line.timer for line in connections(HERE) if line.remote == server.port] == [KEEPALIVE]
        ),
        "the client's end keeps an eye on the server",
    )


def other_socket(sock: socket.socket) -> socket.socket:
    """The other end of a connection that this process has with itself."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # no socket, or not connected, or closed meanwhile
            found = socket.socket(fileno=os.dup(int(entry.name)))
            if found.getpeername() == sock.getsockname():
                return found
            found.close()
    raise AssertionError("there is no other end in this process")


def test_hazard_21_a_frame_that_claims_a_gibibyte_is_believed(stock, served):
    farm = served("farm")
    beginning = struct.pack("!i", GIB) + b"x" * 100
    before = {one: memory(one.pid, "VmSize") for one in (stock, farm)}
    with Raw(stock.port) as one, Raw(farm.port) as other, Raw(farm.port) as third:
        for raw in (one, other):
            os.write(raw.connection.fileno(), beginning)
        assert other.connection.poll(PATIENCE)
        with pytest.raises(ValueError, match="the limit is"):
            raise other.connection.recv()[1]
        eventually(lambda: memory(stock.pid, "VmSize") > before[stock] + GIB, "room is made")
        assert not one.connection.poll(0), "and the stock server waits for the rest"
        os.write(third.connection.fileno(), struct.pack("!iQ", -1, 64 * GIB))
        assert third.connection.poll(PATIENCE)
        assert closed(third.connection), "what claims more than any message has is cut off"
    assert memory(farm.pid, "VmPeak") < before[farm] + GIB / 2
    assert ask(farm.port, "dummy") is None


def closed(connection) -> bool:
    try:
        connection.recv_bytes()
    except (EOFError, ConnectionError):
        return True
    return False


def ask_and_never_read(raw: Raw, times: int) -> None:
    """Ask for more than the network holds."""
    for _ in range(times):
        raw.send("__getitem__", 0)


def test_hazard_22_a_peer_that_reads_nothing_pins_a_thread_and_its_answer(stock, serve):
    server = serve(limits=Limits(send_timeout=0.3))
    for port in (stock.port, server.port):
        with Raw(port) as tasks, Raw(port, "get_result_dict") as results:
            tasks.call("put", ("m:f",))
            results.call("__setitem__", 0, b"x" * 7 * MIB)
    eventually(lambda: threads(stock.pid) == ALONE, "those who filled it have left")
    room = memory(stock.pid, "VmRSS")
    with Raw(stock.port, "get_result_dict") as one, Raw(server.port, "get_result_dict") as other:
        assert other_end(HERE, other.port)
        for raw in (one, other):
            ask_and_never_read(raw, 4)
            assert raw.connection.poll(PATIENCE)
        eventually(lambda: other_end(HERE, other.port) is None, "farm cuts it off")
        eventually(lambda: threads(stock.pid) == ALONE + 1, "one thread is kept")
        assert memory(stock.pid, "VmRSS") > room + 6 * MIB
        assert other_end(stock.pid, one.port)
    assert ask(server.port, "dummy") is None
