"""Who was in and is refused when it connects again: the right file may come in time, or not."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import farm_tasks as tasks
import pytest
from farm_harness import PATIENCE, ServerThread, eventually

from farm.authority import Authority
from farm.errors import NotAuthorisedError
from farm.server import door
from farm.wire import greeting, keyfiles
from farm.wire.credentials import CertificateCredentials, KeyCredentials
from farm.wire.keyring import Keyring


class Way:
    """A way in that is replaced on the server, and then in a copy elsewhere.

    Args:
        credentials: show the copy.
        replace: on the server, so that the copy is not accepted any more.
        copy: what is accepted then.
    """

    def __init__(self, credentials: Any, replace: Callable[[], Any], copy: Callable[[], Any]):
        self.credentials, self.replace, self.copy = credentials, replace, copy


@pytest.fixture
def by_key(serve, tmp_path) -> tuple[ServerThread, Callable[[str], Way]]:
    """A server with keys, and ways in by them."""
    base = tmp_path / "keys" / "authkey"
    for path in (base, base.with_name("authkey.work"), base.with_name("authkey.submit")):
        keyfiles.make_key(path)

    def way(role: str) -> Way:
        path = base.with_name(f"authkey.{role}")
        copied = Path(shutil.copy(path, tmp_path / role))

        def replace() -> None:
            keyfiles.rotate(path)
            keyfiles.withdraw(path)

        shown = KeyCredentials(lambda: keyfiles.read_key_file(copied))
        return Way(shown, replace, lambda: copied.write_bytes(path.read_bytes()))

    return serve(Keyring.beside(base)), way


@pytest.fixture
def by_certificate(serve, tls) -> tuple[ServerThread, Callable[[str], Way]]:
    """A server with certificates, and ways in by them."""

    def way(role: str) -> Way:
        name = {"work": "worker", "submit": "client"}[role]
        copied = Path(shutil.copytree(tls / name, tls / f"{name}-elsewhere"))

        def replace() -> None:
            Authority.open(tls).renew(name)
            Authority.open(tls).withdraw(name)

        shown = CertificateCredentials(copied, ())
        new, old = tls / name / "identity.pem", copied / "identity.pem"
        return Way(shown, replace, lambda: old.write_bytes(new.read_bytes()))

    return serve(tls=tls / "server"), way


@pytest.fixture(params=["by_key", "by_certificate"])
def served(request) -> tuple[ServerThread, Callable[[str], Way]]:
    """Each of the two."""
    found: tuple[ServerThread, Callable[[str], Way]] = request.getfixturevalue(request.param)
    return found


def came_back(server: ServerThread, caplog) -> bool:
    """Whether the node, and not only the session, is connected again."""
    told = f"connected to {server.address} again"
    return any(r.name == "farm.worker" and r.getMessage() == told for r in caplog.records)


def warned(caplog, logger: str) -> list[str]:
    """What one who is refused has logged of it."""
    found = [r.getMessage() for r in caplog.records if r.name == logger]
    return [text for text in found if text.startswith("refused, trying for")]


def test_a_node_gets_the_right_file_in_time_and_keeps_what_it_runs(
    served, node_at, tmp_path, caplog
):
    server, way = served
    nodes, mine = way("work"), way("submit")
    node = node_at(server, nodes.credentials, slots=2)
    with server.session(mine.credentials) as session:
        (traces := tmp_path / "traces").mkdir()
        params = [{"directory": str(traces), "x": x} for x in range(4)]
        batch = session.submit(tasks.began, params)
        eventually(lambda: len(list(traces.iterdir())) == 2, "two run")
        before = node.worker.id
        nodes.replace()
        eventually(lambda: warned(caplog, "farm.worker"), "it is refused")
        nodes.copy()
        eventually(lambda: came_back(server, caplog), "it is back")
        (traces / "go").touch()
        assert list(batch.results(PATIENCE)) == [0, 1, 2, 3]
    assert len(list(traces.glob("began-*"))) == 4, "each task has run once"
    assert (node.error, node.worker.id) == (None, before)
    assert len(warned(caplog, "farm.worker")) == 1


def test_a_session_gets_the_right_file_in_time(served, caplog):
    server, way = served
    mine = way("submit")
    with server.session(mine.credentials) as session:
        assert session.batches() == []
        mine.replace()
        eventually(lambda: warned(caplog, "farm.client"), "it is refused")
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(session.batches()))
        asking.start()
        mine.copy()
        asking.join(PATIENCE)
        assert answers == [[]]
    assert len(warned(caplog, "farm.client")) == 1


def test_without_it_both_end_when_the_time_is_over(served, node_at, monkeypatch):
    monkeypatch.setattr(greeting, "REFUSED_SECONDS", 1.0)
    server, way = served
    nodes, mine = way("work"), way("submit")
    node = node_at(server, nodes.credentials)
    with server.session(mine.credentials) as session:
        began = time.monotonic()
        mine.replace()
        nodes.replace()
        eventually(lambda: node.error is not None, "the node ends")
        assert time.monotonic() - began >= 1.0
        assert isinstance(node.error, NotAuthorisedError)
        with pytest.raises(NotAuthorisedError):
            eventually(lambda: session.batches() and None, "the session ends")


def test_a_key_that_came_while_the_server_had_just_looked_is_found(
    by_key, node_at, monkeypatch, caplog
):
    """It does not look again at once for each unknown key; a node must not end for that."""
    server, way = by_key
    nodes, admission = way("work"), server.server.admission
    node = node_at(server, nodes.credentials)
    with monkeypatch.context() as patched:
        patched.setattr(door, "MISS_SECONDS", 3600.0)
        patched.setattr(admission.door, "_looked", time.monotonic())
        patched.setattr(admission.door, "refresh", lambda: lambda _: True)
        nodes.replace()
        nodes.copy()
        server.call(lambda: [one.cut_off("a break") for one in admission.connections])
        eventually(lambda: warned(caplog, "farm.worker"), "it is refused")
    eventually(lambda: came_back(server, caplog), "it is back")
    assert node.error is None
