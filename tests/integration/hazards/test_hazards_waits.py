"""How long things take: stalls of the network, and waits without an end (hazards 20 and 23)."""

from __future__ import annotations

import contextlib
import functools
import socket
import time
from collections.abc import Callable
from threading import Thread

import pytest
from farm_harness import HOST, KEY, eventually
from kernel import SHORT, connections, frozen, is_connected, knock
from plain_scripts import start
from stock import Raw

from farm.batch import spec as specs
from farm.client.link import Link
from farm.errors import ServerUnreachableError, WaitTimeoutError
from farm.wire.address import Address
from farm.wire.messages import GetSpec, ListBatches, Submit
from farm.wire.opening import connect

CALLS = 3
SIZE = 30_000
"""Between the 16 KiB that the standard library sends together with their length, and a segment."""


def seconds_of(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return time.perf_counter() - began


def test_hazard_20_messages_of_some_size_stall(stock, server):
    payload = b"x" * SIZE
    spec = specs.encode(specs.Spec("b", specs.PickledCall(payload, "f", "3.11")))
    with Raw(stock.port, "get_tools") as raw:
        stalled = seconds_of(lambda: raw.call("echo", payload))
    link = Link(Address(HOST, server.port), KEY)
    try:
        tokens = iter(range(CALLS))
        sent = seconds_of(
            lambda: link.call(Submit(str(next(tokens)), "b", 1, specs.Options(), spec))
        )
        received = seconds_of(lambda: link.call(GetSpec(1)))
    finally:
        link.close()
    assert stalled > 5 * (sent + received)


def test_hazard_20_also_between_a_plain_client_and_farm(stock, server):
    """Its own half of the stall is cut short by acknowledgements that do not wait."""
    call = ("m:f", (b"x" * SIZE,))
    with Raw(stock.port) as one, Raw(server.port) as other:
        stalled, sent = (seconds_of(lambda raw=raw: raw.call("put", call)) for raw in (one, other))
    assert stalled > 2 * sent


def full(stack: contextlib.ExitStack) -> int:
    """The port of a listener that has no room left: a connection to it does not come about."""
    listener = stack.enter_context(socket.socket())
    listener.bind((HOST, 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    while is_connected(stack.enter_context(knock(port))):
        pass
    return port


def silent(stack: contextlib.ExitStack) -> int:
    """The port of a listener that answers nothing."""
    return stack.enter_context(socket.create_server((HOST, 0))).getsockname()[1]


def calls(pid: int, port: int) -> bool:
    """Whether a process has begun to connect to a port."""
    return port in {line.remote for line in connections(pid)}


def test_hazard_23_a_client_waits_for_a_server_for_ever():
    with contextlib.ExitStack() as stack:
        ports = (full(stack), silent(stack))
        scripts = [start("", port) for port in ports]
        try:
            for port, script in zip(ports, scripts, strict=True):
                eventually(functools.partial(calls, script.pid, port))
                with pytest.raises(ServerUnreachableError, match="no answer in time"):
                    connect(Address(HOST, port), KEY, seconds=SHORT)
            assert [script.poll() for script in scripts] == [None, None], "as long, and longer"
        finally:
            for script in scripts:
                script.kill()
                script.communicate()


def test_hazard_23_a_call_waits_for_its_answer_for_ever(stock, served):
    farm = served("farm")
    link = Link(Address(HOST, farm.port), KEY)
    try:
        with Raw(stock.port) as raw:
            calling = Thread(target=raw.call, args=("qsize",))
            with frozen(stock.pid), frozen(farm.pid):
                calling.start()
                for _ in range(2):
                    with pytest.raises(WaitTimeoutError):
                        link.call(ListBatches(), SHORT)
                assert calling.is_alive()
            calling.join()
    finally:
        link.close()
