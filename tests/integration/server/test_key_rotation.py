"""Keys that are replaced and withdrawn while nodes and clients are connected."""

from __future__ import annotations

import shutil
from pathlib import Path

import farm_tasks as tasks
import pytest
from farm_harness import PATIENCE, ServerThread, eventually

from farm.errors import NotAuthorisedError
from farm.wire import greeting, keyfiles
from farm.wire.credentials import KeyCredentials
from farm.wire.keyring import Keyring


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The key files beside a server."""
    directory = tmp_path / "keys"
    for path in (directory / "authkey", directory / "authkey.work", directory / "authkey.submit"):
        keyfiles.make_key(path)
    return directory / "authkey"


@pytest.fixture
def server(serve, base) -> ServerThread:
    return serve(Keyring.beside(base))


def beside(base: Path, name: str) -> Path:
    return base.with_name(f"{base.name}.{name}")


def copied(path: Path, name: str) -> Path:
    """The key file of another machine."""
    return Path(shutil.copy(path, path.with_name(name)))


def shown(path: Path) -> KeyCredentials:
    """As commands show a key: it is read for each connection."""
    return KeyCredentials(lambda: keyfiles.read_key_file(path))


def connections(server: ServerThread) -> set[str]:
    """By the key files of their holders."""
    found = server.call(lambda: [c.holder for c in server.server.admission.connections])
    return {holder.holder for holder in found if holder is not None}


def test_after_a_rotation_the_old_key_and_the_new_one_open_the_server(server, base, asker, log):
    work = beside(base, "work")
    old = work.read_bytes().strip()
    before = asker(server, old)
    keyfiles.rotate(work)
    new = work.read_bytes().strip()
    assert new != old
    after = asker(server, new)  # at once: the server has not looked yet
    assert asker(server, old).welcome.role == after.welcome.role == "work"
    keyfiles.withdraw(work)
    log.wait("cut off: what it came in with (authkey.work) is void")
    log.wait("cut off: what it came in with (authkey.work.old) is void")
    with pytest.raises(EOFError):
        before.hear()
    with pytest.raises(NotAuthorisedError, match="does not accept this key"):
        asker(server, old)
    assert "authkey.work" in connections(server), "who came with the new one is still there"
    assert asker(server, new).welcome.role == "work"


def test_a_farm_works_on_while_its_keys_are_replaced(server, base, node_at, log, monkeypatch):
    """Of two nodes one gets the new key in time, and the other does not."""
    monkeypatch.setattr(greeting, "REFUSED_SECONDS", 0.5)
    work, submit = beside(base, "work"), beside(base, "submit")
    good_key, late_key = copied(work, "key-of-good"), copied(work, "key-of-late")
    good = node_at(server, shown(good_key), name="good")
    late = node_at(server, shown(late_key), name="late")
    with server.session(shown(submit)) as session:
        batch = session.submit(tasks.double, [{"x": n} for n in range(10)])
        assert list(batch.results(PATIENCE)) == [2 * n for n in range(10)]
        keyfiles.rotate(work)
        keyfiles.rotate(submit)
        batch = session.submit(tasks.double, [{"x": n} for n in range(10)])
        assert list(batch.results(PATIENCE)) == [2 * n for n in range(10)]
        assert log.lines == [], "nobody was cut off"

        copied(work, "key-of-good")
        keyfiles.withdraw(work)
        keyfiles.withdraw(submit)
        eventually(lambda: late.error is not None, "the late one is told, and ends")
        assert isinstance(late.error, NotAuthorisedError)
        batch = session.submit(tasks.double, [{"x": n} for n in range(10)])
        assert list(batch.results(PATIENCE)) == [2 * n for n in range(10)]
        assert good.error is None
        assert connections(server) == {"authkey.work", "authkey.submit"}
    nodes = server.call(
        lambda: {n.name: n.state for n in server.server._service.desk._by_token.values()}
    )
    assert nodes["good"] == "up"
