"""Who holds the key and sends a hostile pickle: refused, logged with its address, and dropped."""

from __future__ import annotations

import logging
import pickle
import struct
import time
from multiprocessing.connection import Client
from pathlib import Path

import pytest
from farm_harness import HOST, KEY, PATIENCE, ServerThread, eventually


class Reduces:
    """Pickles as a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def wrapped(payload: bytes) -> bytes:
    """A request of the manager whose argument is what these opcodes make."""
    return b"(N\x8c\x05dummy(" + payload + b"t}t."


def bomb(depth: int) -> bytes:
    """A tuple of two of a tuple of two of ... as the key of a dict: 2**depth hashes."""
    levels = b"".join(b"h%c" % n * 2 + b"\x86\x94" for n in range(depth))
    return b"})\x94" + levels + b"K\x01s"


def hostile(canary: Path) -> dict[str, bytes]:
    name = str(canary).encode()
    touch = b"cpathlib\nPath.touch\n"
    return {
        "reduce, protocol 0": pickle.dumps((None, "dummy", (Reduces(canary),), {}), 0),
        "reduce, protocol 4": pickle.dumps((None, "dummy", (Reduces(canary),), {}), 4),
        "reduce, protocol 5": pickle.dumps((None, "dummy", (Reduces(canary),), {}), 5),
        "a global that is not called": wrapped(touch),
        "a global by its name on the stack": wrapped(b"\x8c\x05posix\x8c\x06system\x93"),
        "inst": wrapped(b"(\x8c" + bytes([len(name)]) + name + b"iposix\nmkdir\n"),
        "obj": wrapped(b"(cposix\nmkdir\n\x8c" + bytes([len(name)]) + name + b"o"),
        "newobj": wrapped(b"cbuiltins\nint\n)\x81"),
        "build": wrapped(b"}}b"),
        "an extension code": wrapped(b"\x82\x01"),
        "a persistent id": wrapped(b"Pcanary\n"),
        "a huge memo index": wrapped(b"Nr" + struct.pack("<I", 2**31)),
        "a bytearray of what it claims": wrapped(b"\x96" + struct.pack("<Q", 2**40)),
        "bytes of what they claim": wrapped(b"\x8e" + struct.pack("<Q", 2**40)),
        "a number of what it claims": wrapped(b"\x8b" + struct.pack("<i", 2**31 - 1)),
        "a nested bomb": wrapped(bomb(40)),
        "more parts than anybody needs": wrapped(b"N\x94" * 20_000),
        "a list in itself": b"]\x94h\x00a" + b".",
        "nothing": b"",
        "no end": b"(N",
        "not a pickle": b"GET / HTTP/1.1\r\n\r\n",
    }


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canary") / "executed"


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory):
    """One server for all of them: what one did to it would show with the next."""
    server = ServerThread(tmp_path_factory.mktemp("victim"))
    yield server
    server.stop()


@pytest.mark.parametrize("kind", hostile(Path("x")))
@pytest.mark.parametrize("step", ["as the first request", "as a call"])
def test_it_is_refused_logged_and_dropped_and_nothing_is_executed(
    victim, canary, kind, step, caplog
):
    with caplog.at_level(logging.WARNING, "farm.server"):
        victim.call(victim.server.admission._complaints._minutes.clear)
        before = memory()
        with Client((HOST, victim.port), authkey=KEY) as client:
            address = "{}:{}".format(*name_of(client))
            if step == "as a call":
                client.send((None, "accept_connection", ("plain",), {}))
                assert client.recv() == ("#RETURN", None)
            began = time.perf_counter()
            client.send_bytes(hostile(canary)[kind])
            said = last_words(client)
        assert time.perf_counter() - began < 5.0
        assert all(kind == "#ERROR" and isinstance(error, TypeError) for kind, error in said)
        eventually(lambda: [r for r in caplog.messages if r.startswith(address)], "it is logged")
    assert memory() - before < 20_000
    assert not canary.exists()
    with victim.session() as session:
        assert session.batches() == []


def test_what_is_nested_too_deep_to_be_kept_is_an_error(victim):
    deep = b"(" * 10_000 + b"t" * 10_000
    put = b"(\x8c\x0atask_queue\x8c\x03put((\x8c\x03m:f(" + deep + b"t}tt}t."
    with Client((HOST, victim.port), authkey=KEY) as client:
        client.send((None, "accept_connection", ("plain",), {}))
        assert client.recv() == ("#RETURN", None)
        client.send_bytes(put)
        kind, error = client.recv()
        assert (kind, type(error)) == ("#ERROR", RuntimeError)
        assert "recursion" in str(error)
        client.send(("task_queue", "qsize", (), {}))
        assert client.recv() == ("#RETURN", 0)


def name_of(client) -> tuple[str, int]:
    import socket

    with socket.socket(fileno=client.fileno()) as sock:
        try:
            return sock.getsockname()
        finally:
            sock.detach()


def last_words(client) -> list[tuple[str, Exception]]:
    """What the server says until it closes the connection."""
    said = []
    try:
        while client.poll(PATIENCE):
            said.append(client.recv())
    except (EOFError, ConnectionError):
        return said
    raise AssertionError("the connection stays open")


def memory() -> int:
    """Resident KiB of this process, which the server's thread is in."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])
