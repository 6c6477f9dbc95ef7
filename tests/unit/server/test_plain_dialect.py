"""The dialect of plain clients: what is refused to whom, as which error, and in which order."""

from __future__ import annotations

import pickle
import queue
from typing import Any

import pytest
from farm_service import World

from farm.errors import ProtocolError
from farm.server.plain import PlainDialect, Shared
from farm.server.queue import TaskQueue
from farm.server.results import METHODS, ResultDict


class Line:
    """A connection that keeps the answers."""

    def __init__(self, role: str) -> None:
        self.role, self.who, self.address = role, role, "192.0.2.1:4711"
        self.answers: list[Any] = []
        self.complaints: list[str] = []
        self.closed = self.settled = self.held = False

    def send(self, frame: bytes) -> None:
        self.answers.append(pickle.loads(frame))

    def complain(self, what: str) -> None:
        self.complaints.append(what)

    def close(self) -> None:
        self.closed = True

    def settle(self) -> None:
        self.settled = True

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False


class Client:
    """A plain client of a role, whose proxy is connected."""

    def __init__(self, world: World, role: str, node: int) -> None:
        tasks = TaskQueue(world.core)
        results = ResultDict(world.core, tasks)
        objects = {
            "get_task_queue": Shared("task_queue", tasks, tasks.exposed, {}),
            "get_result_dict": Shared("result_dict", results, results.exposed, METHODS),
        }
        self.world, self.line = world, Line(role)
        line: Any = self.line
        self.dialect = PlainDialect(line, world.core, objects, node, lambda _: self.dialect)
        self.say(None, "accept_connection", "name")
        world.clock.turn()
        assert self.line.answers.pop() == ("#RETURN", None)

    def say(self, ident: Any, name: Any, *args: Any, **kwargs: Any) -> None:
        """Send a request."""
        self.dialect.receive(pickle.dumps((ident, name, args, kwargs), 4))

    def call(self, ident: str, name: str, *args: Any) -> Any:
        """Call a method; what it gives, or raise as the client's proxy would."""
        self.say(ident, name, *args)
        self.world.clock.turn()
        return self._answer()

    def call_when_there_is_room(self, ident: str, name: str, *args: Any) -> Any:
        """The same of what is held back while the journal cannot be written."""
        self.say(ident, name, *args)
        self.world.make_room()
        self.world.clock.pass_time(2.0)
        return self._answer()

    def _answer(self) -> Any:
        kind, value = self.line.answers.pop()
        if kind == "#ERROR":
            raise value
        return value


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.kill()
    assert made.given_up == []


@pytest.fixture
def client(world):
    numbers = iter(range(-1, -100, -1))
    return lambda role="admin": Client(world, role, next(numbers))


def test_what_a_role_may_not_do_is_a_permission_error_and_nothing_is_done(client):
    with pytest.raises(PermissionError, match=r"role .* is view, and task_queue\.put is for admin"):
        client("view").call("task_queue", "put", ("m:f",))
    assert client("view").call("task_queue", "qsize") == 0
    assert client("submit").call("task_queue", "put", ("m:f",)) == 0
    with pytest.raises(PermissionError):
        client("submit").call("task_queue", "get", False)
    assert client("work").call("result_dict", "__setitem__", 0, "done") is None
    assert client("view").call("result_dict", "__len__") == 1


def test_there_is_no_role_that_may_call_what_is_not_exposed(client):
    with pytest.raises(AttributeError, match="has no method '_make'"):
        client().call("task_queue", "_make")
    with pytest.raises(KeyError, match="no object"):
        client().call("journal", "commit")


@pytest.mark.parametrize("call", [("put", ("m:f",)), ("get", False), ("get", True, 5.0)])
def test_no_batch_is_made_while_it_cannot_be_journalled(client, world, call):
    one = client()
    world.submit(1)
    world.fill_disk()
    world.journal.add_code("x", {"big": b"x" * 200_000})
    world.core.plan_flush()
    world.clock.turn()

    with pytest.raises(ValueError, match="the server cannot write its journal"):
        one.call_when_there_is_room("task_queue", *call)

    assert len(world.ledger.batches) == 1
    with pytest.raises(queue.Empty):
        one.call("task_queue", "get", False)
    assert len(world.ledger.batches) == 2


@pytest.mark.parametrize(("code", "kind"), [("too-large", ValueError), ("busy", RuntimeError)])
def test_what_was_not_read_is_answered_in_its_turn(client, world, code, kind):
    """A client that sends on without waiting gets its answers in order."""
    one = client()
    one.say("task_queue", "put", ("m:f",))
    one.dialect.refuse(b"", code, "too much")
    one.say("task_queue", "qsize")
    world.clock.turn()
    (first, put), (second, error), (third, size) = one.line.answers
    assert (first, put, third, size) == ("#RETURN", 0, "#RETURN", 1)
    assert (second, type(error), str(error)) == ("#ERROR", kind, "too much")


def test_what_is_nested_too_deeply_to_be_sent_is_told(client):
    """Else whoever asked would wait for an answer for ever."""
    one = client()
    deep = b"\x80\x04N" + b"\x85" * 3_000 + b"."  # a tuple in a tuple in a tuple
    request = pickle.dumps(("result_dict", "get", (0, 5), {}), 4)
    at = request.index(pickle.dumps(5, 4)[2:-1])
    one.dialect.receive(request[:at] + deep[2:-1] + request[at + 2 :])
    one.world.clock.turn()
    [(kind, error)] = one.line.answers
    assert (kind, type(error), str(error)) == (
        "#ERROR", TypeError, "the value is nested too deeply to be sent"
    )  # fmt: skip


def test_what_is_no_builtin_is_told_and_ends_the_connection(client):
    one = client()
    one.dialect.receive(pickle.dumps((None, "dummy", (Line,), {})))
    [(kind, error)] = one.line.answers
    assert (kind, type(error)) == ("#ERROR", TypeError)
    assert one.line.closed
    [complaint] = one.line.complaints
    assert complaint.startswith("cut off: ")


@pytest.mark.parametrize(
    "request_", [5, ("a", "b"), (None, "m", [], {}), (None, "m", (), []), (1, 2, 3, 4, 5)], ids=str
)
def test_what_is_no_request_ends_the_connection(client, request_):
    with pytest.raises(ProtocolError, match="a request"):
        client().dialect.receive(pickle.dumps(request_))
