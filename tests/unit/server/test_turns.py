"""While the journal cannot be written: who is answered, who waits, who is refused."""

from __future__ import annotations

import array
import asyncio

import pytest

from farm.batch import spec as specs
from farm.errors import RequestError
from farm.server import turns as module
from farm.server.journal import Journal
from farm.server.payloads import LARGE
from farm.server.service import Service
from farm.wire import leases, messages

SPEC = specs.encode(specs.Spec("b", specs.PythonCall("tasks:f"), space={"count": 4}))


class Peer:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.node, self.address, self.who = 0, "test", "somebody"
        self.waiters: set[object] = set()
        self.heard: list[tuple[int, messages.Message]] = []

    def acknowledge(self, number: int, body: messages.Message) -> None:
        self.reply(number, body)

    def reply(self, number: int, body: messages.Message) -> None:
        self.heard.append((number, body))

    def answer(self, number: int, make) -> None:
        self.reply(number, make())

    def push(self, body: messages.Message) -> None:
        self.reply(0, body)

    def answered(self) -> list[int]:
        """The numbers of the answers since the last look."""
        numbers = [number for number, _ in self.heard if number]
        self.heard.clear()
        return numbers


class Farm:
    """A server without connections, whose disk can be filled; a node and a client."""

    def __init__(self, directory, loop: asyncio.AbstractEventLoop) -> None:
        self.journal, self.loop = Journal(directory), loop
        self.given_up: list[Exception] = []
        self.service = Service(self.journal, loop, self.given_up.append)
        self.node, self.client = Peer(), Peer()

    def ask(self, peer: Peer, number: int, request: messages.Message) -> None:
        self.service.handlers[type(request)](peer, number, request)

    def turn(self, times: int = 3) -> None:
        for _ in range(times):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def fill(self) -> None:
        pages = self.journal._one("PRAGMA page_count")
        self.journal._db.execute(f"PRAGMA max_page_count = {pages}")

    def make_room(self) -> None:
        self.journal._db.execute("PRAGMA max_page_count = 100000")

    def report(self, number: int, index: int, size: int = LARGE - 1) -> None:
        seconds = array.array("f", [0.1]).tobytes()
        part = leases.Part(1, index, index + 1, b"x" * size, seconds)
        self.ask(self.node, number, leases.Report([part], [], []))


@pytest.fixture
def farm(tmp_path, monkeypatch):
    """With a batch of four tasks and a node that has joined."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    loop = asyncio.new_event_loop()
    made = Farm(tmp_path, loop)
    made.ask(made.client, 1, messages.Submit("t", "b", 4, specs.Options(), SPEC))
    made.ask(made.node, 1, leases.Join("n", 2, [], "token"))
    made.turn()
    assert made.client.answered() == made.node.answered() == [1]
    yield made
    made.make_room()
    made.journal.abandon()
    loop.close()


def test_what_acknowledges_nothing_is_answered_in_the_turn_in_which_the_disk_fills_up(farm):
    farm.fill()
    farm.report(2, 0)
    farm.ask(farm.client, 2, messages.GetStatus("1"))
    farm.turn()
    assert farm.service.core.stalled
    assert farm.client.answered() == [2]
    assert farm.node.answered() == []


@pytest.mark.parametrize(
    "request_", [messages.GetStatus("1"), messages.ListBatches(10), messages.GetOutcomes(1, 0),
                 messages.GetResults(1, 0), messages.GetNodes()],
    ids=lambda request: type(request).__name__,
)  # fmt: skip
def test_while_the_disk_is_full_whoever_looks_is_answered(farm, request_):
    farm.fill()
    farm.report(2, 0)
    farm.turn()
    assert farm.service.core.stalled
    for number in (3, 4):
        farm.ask(farm.client, number, request_)
        farm.turn()
        assert farm.client.answered() == [number]
    assert not farm.client.waiters


def test_results_that_are_not_written_are_not_shown_and_come_when_they_are(farm):
    farm.fill()
    farm.report(2, 0)
    farm.turn()
    farm.ask(farm.client, 2, messages.GetOutcomes(1, 0, wait=30.0))
    farm.turn()
    assert farm.client.answered() == []
    farm.make_room()
    while farm.service.core.stalled:
        farm.turn()
    ((number, outcomes),) = farm.client.heard
    assert (number, [o.start for o in outcomes.outcomes]) == (2, [0])
    assert farm.node.answered() == [2]


def test_what_is_to_be_journalled_is_refused_and_may_be_sent_again(farm):
    farm.fill()
    farm.report(2, 0)
    farm.turn()
    submission = messages.Submit("u", "c", 4, specs.Options(), SPEC)
    further = messages.Append(1, [messages.Block(4, 5, b"items")])
    for request in (submission, messages.Cancel("1"), further):
        with pytest.raises(RequestError, match=r"cannot write its journal .*nothing was taken"):
            farm.ask(farm.client, 2, request)
    farm.make_room()
    while farm.service.core.stalled:
        farm.turn()
    farm.ask(farm.client, 3, submission)
    farm.turn()
    assert farm.client.heard[-1] == (3, messages.Submitted(2))


@pytest.mark.parametrize("limit", ["MAX_PENDING_RECORDS", "MAX_PENDING_BYTES"])
def test_what_waits_for_room_has_a_bound(farm, monkeypatch, limit):
    monkeypatch.setattr(module, limit, 0)
    farm.report(2, 0)
    farm.turn()
    assert farm.node.answered() == [2], "a disk that can be written has no such bound"
    farm.fill()
    farm.report(3, 1)
    farm.turn()
    with pytest.raises(RequestError, match="cannot be written"):
        farm.report(4, 2)
    farm.make_room()
    while farm.service.core.stalled:
        farm.turn()
    assert farm.node.answered() == [3]
    farm.report(5, 2)
    farm.turn()
    assert farm.node.answered() == [5]
    assert [o.start for o in farm.journal.outcomes_after(1, 0)[0]] == [0, 1, 2]


def test_a_journal_that_is_gone_ends_the_server(farm):
    farm.journal.path.unlink()
    farm.report(2, 0)
    farm.turn()
    (error,) = farm.given_up
    assert "is not there any more" in str(error)
    assert farm.node.answered() == []


def test_that_is_noticed_although_nothing_is_written(farm):
    farm.service.sweep()
    assert farm.given_up == []
    farm.journal.path.unlink()
    farm.service.sweep()
    assert len(farm.given_up) == 1
