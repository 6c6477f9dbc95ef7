"""Who may ask what: every request and every call of a plain client, against a table by hand."""

from __future__ import annotations

import typing

import pytest
from farm_roles import ACTIONS, MAY, REQUESTS
from farm_service import World

from farm.errors import RequestError
from farm.server.permits import PERMITS, check
from farm.server.queue import TaskQueue
from farm.server.results import ResultDict
from farm.wire import codec
from farm.wire.messages import Refused
from farm.wire.roles import ROLES


def test_every_request_and_every_call_is_in_the_table_and_nothing_else():
    requests = {kind.__name__ for kind in typing.get_args(codec.Request)}
    calls = {f"task_queue.{name}" for name in TaskQueue.exposed}
    calls |= {f"result_dict.{name}" for name in ResultDict.exposed}
    assert requests | calls == ACTIONS
    assert set(PERMITS) == ACTIONS


def may(role: str, action: str) -> bool:
    try:
        check(role, action)
    except RequestError as error:
        assert error.code == "forbidden"  # noqa: PT017 - one of two answers
        return False
    return True


def test_each_role_may_do_what_the_table_says():
    assert {(role, action): may(role, action) for role, action in MAY} == MAY


def test_there_is_no_other_role_and_no_other_action():
    assert {role for roles in PERMITS.values() for role in roles} == set(ROLES)
    for role in ("", "root", "Admin", "server", "*"):
        assert not any(may(role, action) for action in ACTIONS)
    for action in ("", "hello", "Shutdown", "task_queue._make", "result_dict.setitem"):
        assert not any(may(role, action) for role in ROLES)


@pytest.mark.parametrize(
    ("role", "action", "text"),
    [
        ("view", "Submit", "is view, and Submit is for admin or submit: .* --role submit. makes"),
        ("work", "GetResults", "is work, and GetResults is .* or view: .* --role view. makes"),
        ("submit", "DrainNode", "is submit, and DrainNode is for admin: .* --role admin. makes"),
        ("admin", "Shutdown", "is admin, and Shutdown is for nobody"),
    ],
)
def test_who_may_not_is_told_who_may(role, action, text):
    with pytest.raises(RequestError, match=f"^the role of this key or certificate {text}$"):
        check(role, action)


# -- on a whole server ------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.kill()
    assert made.given_up == []


def test_there_is_one_of_each_request_here():
    assert {type(request) for request in REQUESTS} == set(typing.get_args(codec.Request))


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_may_not_ask_no_handler_ever_sees(world, role):
    peer, seen = world.connect("peer"), set()
    peer.role = role
    for kind in world.service.handlers:
        world.service.handlers[kind] = lambda _, __, request: seen.add(type(request).__name__)
    for number, request in enumerate(REQUESTS, 1):
        peer.receive(codec.encode(number, request))
    asked = [type(request).__name__ for request in REQUESTS]
    assert seen == {name for name in asked if MAY[role, name]}
    assert {asked[number - 1] for number in peer._connection.sent} == set(asked) - seen
    for answer in peer._connection.sent.values():
        assert isinstance(answer, Refused)
        assert answer.code == "forbidden"
