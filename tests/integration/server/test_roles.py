"""Keys of four roles at a real server: what each may do, and what it is told it may not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import farm_tasks as tasks
import pytest
from farm_harness import PATIENCE, ServerThread
from farm_roles import MAY, REQUESTS
from plain_scripts import run

from farm.errors import NotAuthorisedError
from farm.wire.keyring import Key, Keyring
from farm.wire.leases import Want
from farm.wire.messages import GetStatus, Refused
from farm.wire.roles import ROLES

KEYS = {role: role[0].encode() * 32 for role in ROLES}
RING = Keyring(tuple(Key(secret, role, f"authkey.{role}") for role, secret in KEYS.items()))


@pytest.fixture
def server(serve) -> ServerThread:
    """Accepts a key of each role."""
    return serve(RING)


@pytest.fixture
def admin(server):
    with server.session(KEYS["admin"]) as session:
        yield session


# -- farm's own protocol ----------------------------------------------------------------------


def test_over_the_wire_each_role_is_refused_what_it_may_not_do(server, admin, asker):
    batch = admin.submit(tasks.double, [{"x": n} for n in range(3)])
    before = batch.status()
    for role in ("view", "submit", "work"):
        peer = asker(server, KEYS[role])
        assert peer.welcome.role == role
        refused = [request for request in REQUESTS if not MAY[role, type(request).__name__]]
        for request in refused:
            number = peer.send(request)
            answered, body = peer.hear()
            assert (answered, body.code) == (number, "forbidden"), request
            assert f"is {role}, and {type(request).__name__} is for" in body.text
        if MAY[role, "GetStatus"]:
            assert peer.ask(GetStatus("1")).total == 3
    assert batch.status().state == before.state == "waiting"
    assert len(admin.batches()) == 1
    assert admin.nodes() == []


def test_an_admin_is_refused_nothing_for_its_role(server, asker):
    peer = asker(server, KEYS["admin"])
    assert peer.welcome.role == "admin"
    numbers = {peer.send(request) for request in REQUESTS if not isinstance(request, Want)}
    while numbers:
        number, body = peer.hear()
        numbers.discard(number)
        assert not isinstance(body, Refused) or body.code != "forbidden"


def test_a_farm_whose_people_have_keys_of_their_own(server, node_at):
    worker = node_at(server, KEYS["work"], name="n1")
    with server.session(KEYS["submit"]) as alice, server.session(KEYS["view"]) as bob:
        batch = alice.submit(tasks.double, [{"x": n} for n in range(20)])
        assert list(batch.results(PATIENCE)) == [2 * n for n in range(20)]
        seen = bob.batch(batch.id)
        assert list(seen.results(PATIENCE)) == [2 * n for n in range(20)]
        assert [node.name for node in bob.nodes()] == ["n1"]
        assert worker.error is None


def test_who_may_look_can_look_at_everything_and_change_nothing(server, admin, tmp_path):
    batch = admin.submit(tasks.double, [{"x": n} for n in range(3)])
    with server.session(KEYS["view"]) as session:
        seen = session.batch("last")
        assert seen.status().total == 3
        assert [status.batch for status in session.batches()] == [batch.id]
        assert list(seen.recorded()) == []
        assert seen.export(tmp_path / "out").tasks == 0
        for change in (
            seen.cancel, seen.pause, seen.resume, seen.retry, seen.forget,
            lambda: session.submit(tasks.double, [{"x": 1}]),
            lambda: session.import_(tmp_path / "out"),
            lambda: session.drain("n1"),
        ):  # fmt: skip
            with pytest.raises(NotAuthorisedError, match=r"the role of this key .* is view"):
                change()
    assert batch.status().state == "waiting"
    assert len(admin.batches()) == 1


def test_a_nodes_key_can_neither_submit_nor_cancel_nor_read_what_came_of_it(server, admin):
    batch = admin.submit(tasks.double, [{"x": 1}])
    with server.session(KEYS["work"]) as session:
        for change in (
            lambda: session.submit(tasks.double, [{"x": 1}]),
            lambda: session.batch(batch.id),
            lambda: session.status(batch.id),
            session.batches,
            session.nodes,
        ):
            with pytest.raises(NotAuthorisedError, match=r"the role of this key .* is work"):
                change()
    assert batch.status().state == "waiting"


@pytest.mark.parametrize("role", ["view", "submit"])
def test_a_node_with_another_key_says_at_once_why_it_cannot_work(server, node_at, role):
    with pytest.raises(
        NotAuthorisedError, match=f"lets nobody work .* its role is {role}"
    ) as error:
        node_at(server, KEYS[role])
    assert error.value.exit_code == 4
    with server.session(KEYS["admin"]) as session:
        assert session.nodes() == []


# -- the commands -----------------------------------------------------------------------------


def farm(tmp_path: Path, server: ServerThread, role: str, *arguments: str):
    """Run a command with the key of a role."""
    key = tmp_path / role
    key.write_bytes(KEYS[role])
    key.chmod(0o600)
    where = ["--host", str(server.address), "--authkey-file", str(key)]
    return subprocess.run(
        [sys.executable, "-m", "farm", *arguments, *where],
        capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("role", "arguments", "why"),
    [
        ("view", ("cancel", "last"), "the role of this key or certificate is view"),
        ("submit", ("worker",), "lets nobody work with this key or certificate"),
    ],
)
def test_a_command_that_may_not_ends_with_4(server, admin, tmp_path, role, arguments, why):
    batch = admin.submit(tasks.double, [{"x": 1}])
    ran = farm(tmp_path, server, role, *arguments)
    assert (ran.returncode, ran.stdout) == (4, ""), ran.stderr
    assert why in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr
    assert batch.status().state == "waiting"


# -- plain clients ----------------------------------------------------------------------------


# In another process: what is collected of a proxy in the server's thread calls the server.
EVERY_CALL = """
for name, call in {
    "task_queue.put": lambda: tasks.put(("m:f", (1,))),
    "task_queue.get": lambda: tasks.get(timeout=20),
    "task_queue.qsize": lambda: tasks.qsize(),
    "task_queue.empty": lambda: tasks.empty(),
    "result_dict.__setitem__": lambda: results.__setitem__(0, "done"),
    "result_dict.wait": lambda: results.wait(0, 0.01),
    "result_dict.get": lambda: results.get(0),
    "result_dict.keys": lambda: results.keys(),
    "result_dict.__contains__": lambda: 0 in results,
    "result_dict.__getitem__": lambda: results[0],
    "result_dict.__len__": lambda: len(results),
    "result_dict.pop": lambda: results.pop(0),
}.items():
    print(name, "=", error_of(call))
"""


def test_plain_clients_have_roles_too(server):
    said = {}
    for role in ("submit", "work", "view", "admin"):  # one puts it, one answers it, all look
        lines = run(EVERY_CALL, server.port, key=KEYS[role])
        said[role] = dict(line.split(" = ") for line in lines)
        for action, answer in said[role].items():
            why = f"PermissionError: the role of this key or certificate is {role}, and {action}"
            assert answer.startswith(f"{why} is for ") != MAY[role, action], (role, action, answer)
    assert said["submit"]["task_queue.put"] == "0"
    assert said["work"]["task_queue.get"] == "(0, 'm:f', (1,), {})"
    assert said["view"]["result_dict.__getitem__"] == "done"
    assert said["view"]["result_dict.__len__"] == "1"
    assert said["admin"]["result_dict.pop"] == "done"
    assert len(said["admin"]) == sum("." in action for _, action in MAY) / len(ROLES)
