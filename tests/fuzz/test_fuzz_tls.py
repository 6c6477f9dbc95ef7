"""A short fuzz run against a server with certificates: broken handshakes, records, and frames.

FARM_FUZZ_SEED chooses other ones.
"""

from __future__ import annotations

import os
import random
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import farm
from farm.authority import Authority
from farm.wire.credentials import BY_CERTIFICATE
from farm.wire.identity import client_context
from farm.wire.tunnel import Tunnel, TunnelError
from fuzz.frames import changed, framed
from fuzz.run import MAX_GROWTH
from fuzz.server import Server
from fuzz.talk import HOST, PATIENCE, answer_to, check_answer

SEED = int(os.environ.get("FARM_FUZZ_SEED", "1"))
CONNECTIONS, WARM_UP = 1000, 200

STAGES = ("hello", "finished", "record", "frame")
"""What is changed: the client's first bytes, its certificate and what follows, a record of an
established tunnel, or what is said in one."""


class Attack:
    """One connection, on which everything is as it should be up to a stage.

    Args:
        port: of the server.
        context: with a certificate that the server accepts.
        chance: decides on what is changed.
    """

    def __init__(self, port: int, context: ssl.SSLContext, chance: random.Random) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=PATIENCE)
        self._tunnel = Tunnel(context, server=False)
        self._chance = chance
        self._said = bytearray()

    def run(self, stage: str) -> None:
        """Send what the stage asks for, and see that the server ends the connection."""
        with self._socket:
            try:
                self._socket.sendall(self._upto(stage))
                self._socket.shutdown(socket.SHUT_WR)
                while data := self._socket.recv(1 << 16):
                    check_answer(data)
                    self._hear(data)
            except (ConnectionError, TunnelError):
                return  # it has ended it before

    def _upto(self, stage: str) -> bytes:
        hello = self._tunnel.begin()
        if stage == "hello":
            return self._spoilt(hello)
        finished = self._exchange(hello)
        if stage == "finished":
            return self._spoilt(finished)
        self._socket.sendall(finished)
        while len(self._said) < 4:
            self._hear(self._socket.recv(1 << 16))
        answer = answer_to(bytes(self._said[4:]), BY_CERTIFICATE)
        if stage == "frame":
            return self._tunnel.send(self._spoilt(framed(answer)))
        return self._spoilt(self._tunnel.send(framed(answer)))

    def _exchange(self, data: bytes) -> bytes:
        """Send something of the handshake; what is to be sent next."""
        self._socket.sendall(data)
        answer = b""
        while not answer:
            more = self._socket.recv(1 << 16)
            if not more:
                raise ConnectionError
            answer = self._tunnel.receive(more)[1]
        return answer

    def _hear(self, data: bytes) -> None:
        said, _ = self._tunnel.receive(data)
        self._said += check_answer(said)

    def _spoilt(self, data: bytes) -> bytes:
        if self._chance.random() < 0.1:
            return self._chance.randbytes(self._chance.randint(0, 3000))
        return changed(data, self._chance)


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    Authority.create(tmp_path / "tls")
    return tmp_path / "tls"


@pytest.fixture
def server(tmp_path: Path, bundles: Path) -> Iterator[Server]:
    directory = tmp_path / "server"
    directory.mkdir()
    made = Server(directory, "--tls", bundles / "server")
    yield made
    made.kill()


@pytest.mark.timeout(120)
def test_a_server_with_certificates_withstands_what_nobody_should_send(
    server: Server, bundles: Path
) -> None:
    context = client_context(bundles / "client")
    chance = random.Random(SEED)
    sent: Counter[str] = Counter()
    before = 0
    with farm.connect(f"{HOST}:{server.port}", tls=bundles / "client") as session:
        for number in range(WARM_UP + CONNECTIONS):
            if number == WARM_UP:
                before = server.memory()
            stage = chance.choice(STAGES)
            Attack(server.port, context, chance).run(stage)
            sent[stage] += 1
            if number % 50 == 0:
                assert session.batches() == []
        growth = server.memory("VmHWM") - before
        assert session.batches() == [], "on the connection that was there all the time"
    print(dict(sent), f"memory {growth / 1e6:+.1f} MB")
    assert min(sent[stage] for stage in STAGES) > (WARM_UP + CONNECTIONS) / 8
    assert growth < MAX_GROWTH
    assert server.terminate() == 0
    assert server.complaints() == []
