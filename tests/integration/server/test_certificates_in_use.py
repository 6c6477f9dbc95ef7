"""A farm whose members have certificates: it works, and they are renewed and revoked meanwhile."""

from __future__ import annotations

import contextlib
import selectors
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import farm_tasks as tasks
import pytest
from farm_harness import HOST, PATIENCE, ServerThread, eventually
from plain_scripts import run

from farm.authority import Authority
from farm.client.session import Session
from farm.errors import NotAuthorisedError
from farm.wire import greeting
from farm.wire.credentials import BY_CERTIFICATE, CertificateCredentials
from farm.wire.identity import FOR_CLIENT, FOR_WORKER, client_context
from farm.wire.opening import connect

MEGABYTES = 3_000_000


@pytest.fixture
def server(serve, tls) -> ServerThread:
    return serve(tls=tls / "server")


def shown(directory: Path) -> CertificateCredentials:
    return CertificateCredentials(directory, ())


@pytest.fixture(autouse=True)
def _soon(monkeypatch) -> None:
    """Who is refused ends sooner."""
    monkeypatch.setattr(greeting, "REFUSED_SECONDS", 0.5)


@pytest.fixture
def session(server, tls) -> Iterator[Session]:
    """Of the admin."""
    with server.session(CertificateCredentials(tls, FOR_CLIENT)) as opened:
        yield opened


def test_a_batch_runs_with_megabytes_each_way(server, session, node_at, tls):
    node_at(server, CertificateCredentials(tls, FOR_WORKER))
    params = [{"text": chr(97 + n) * MEGABYTES} for n in range(3)]
    batch = session.submit(tasks.upper, params)
    assert [(len(text), text[:1]) for text in batch.results(PATIENCE)] == [
        (MEGABYTES, "A"), (MEGABYTES, "B"), (MEGABYTES, "C")
    ]  # fmt: skip


def test_a_certificate_that_is_renewed_is_used_for_the_next_connection(server, asker, tls):
    """And by who is connected, once the one before is withdrawn: it is cut off and comes back."""
    shutil.copytree(tls / "client", tls / "copy")  # on another machine, where it stays as it was
    with (
        server.session(shown(tls / "client")) as session,
        server.session(shown(tls / "copy")) as old,
    ):
        assert session.batches() == old.batches() == []
        Authority.open(tls).renew("client")
        assert asker(server, shown(tls / "copy")).welcome.role == "submit"
        Authority.open(tls).withdraw("client")
        with pytest.raises(NotAuthorisedError, match="the certificate was revoked"):
            eventually(lambda: old.batches() and None, "it is cut off")
        assert session.batches() == []
        assert asker(server, shown(tls / "client")).welcome.role == "submit"


def test_who_is_revoked_is_cut_off_and_stays_out_and_the_others_go_on(
    server, session, node_at, tls, log
):
    authority = Authority.open(tls)
    authority.issue("work", "good")
    bad = node_at(server, shown(tls / "worker"), name="bad")
    node_at(server, shown(tls / "good"), name="good")
    batch = session.submit(tasks.double, [{"x": n} for n in range(10)])
    assert list(batch.results(PATIENCE)) == [2 * n for n in range(10)]

    authority.revoke("worker")
    eventually(lambda: bad.error is not None, "the node is told, and ends")
    assert isinstance(bad.error, NotAuthorisedError)
    assert "the certificate was revoked" in str(bad.error)
    log.wait("the list of revoked ones have changed: all connect anew")
    log.wait("cut off: what it came in with (certificate worker) is void")
    log.wait("refused: its certificate is not accepted: certificate revoked")
    with pytest.raises(NotAuthorisedError, match="the certificate was revoked"):
        connect(server.address, shown(tls / "worker"))

    batch = session.submit(tasks.double, [{"x": n} for n in range(10)])
    assert list(batch.results(PATIENCE)) == [2 * n for n in range(10)]
    assert [n.name for n in session.nodes() if n.state == "up"] == ["good"]


# -- the standard library's own client --------------------------------------------------------


class TlsProxy:
    """Takes plain connections on this machine, and carries them through tunnels.

    Args:
        target: the port of the server.
        context: shows a certificate.
    """

    def __init__(self, target: int, context: ssl.SSLContext) -> None:
        self._target, self._context = target, context
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # it is closed
            thread = threading.Thread(target=self._carry, args=(near,))
            thread.start()
            self._threads.append(thread)

    def _carry(self, near: socket.socket) -> None:
        far = socket.create_connection((HOST, self._target), timeout=PATIENCE)
        with near, self._context.wrap_socket(far) as tunnel, selectors.DefaultSelector() as waits:
            waits.register(near, selectors.EVENT_READ, tunnel)
            waits.register(tunnel, selectors.EVENT_READ, near)
            with contextlib.suppress(OSError):
                while True:
                    for key, _ in waits.select():
                        source: Any = key.fileobj
                        data = source.recv(1 << 16)
                        while isinstance(source, ssl.SSLSocket) and source.pending():
                            data += source.recv(1 << 16)
                        if not data:
                            return
                        key.data.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)


@pytest.fixture
def proxy(server) -> Iterator[Callable[[Path], TlsProxy]]:
    started: list[TlsProxy] = []

    def start(identity: Path) -> TlsProxy:
        started.append(TlsProxy(server.port, client_context(identity)))
        return started[-1]

    yield start
    for one in started:
        one.close()


CALLER = """
task = tasks.put(("math:factorial", (5,)))
print(results.wait(task, 20), results[task], len(results))
print(error_of(tasks.get))
"""


def test_the_standard_librarys_client_comes_through_a_tunnel(server, node_at, proxy, tls):
    node_at(server, shown(tls / "worker"))
    port = proxy(tls / "client").port
    done, refused = run(CALLER, port, key=BY_CERTIFICATE)
    assert done == "True 120 1"
    assert refused.startswith("PermissionError: the role of this key or certificate is submit")


def test_in_a_tunnel_another_key_opens_nothing(server, proxy, tls):
    manager = BaseManager((HOST, proxy(tls / "client").port), authkey=b"x" * 32)
    with pytest.raises(Exception, match="digest sent was rejected"):
        manager.connect()
