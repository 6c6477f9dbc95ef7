"""What a node says to its server and what it makes of each answer, without a network."""

from __future__ import annotations

import pytest

from farm.batch import spec as specs
from farm.batch.shipped import digest as digest_of
from farm.dialogue import Dialogue
from farm.engines import base
from farm.errors import ProtocolError, RequestError
from farm.node import MAX_IDLE_BATCHES, Node
from farm.wire import leases, messages
from farm.wire.leases import Held, Lease

FILES = {"tasks.py": b"def f(): ..."}
DIGEST = digest_of(FILES)
SECONDS = b"\0\0\0\0"


class Hands:
    """Keeps what it was to do, and the code that is there."""

    def __init__(self) -> None:
        self.did: list[tuple] = []
        self.code: set[str] = set()

    def add_program(self, program: base.Program) -> None:
        self.did.append(("add", program.batch, program.code, program.code_dir))

    def forget_program(self, batch: int) -> None:
        self.did.append(("forget", batch))

    def kill(self, batch: int) -> None:
        self.did.append(("kill", batch))

    def has_code(self, digest: str) -> bool:
        return digest in self.code

    def keep_code(self, digest: str, files: dict[str, bytes]) -> None:
        assert files == FILES
        self.code.add(digest)
        self.did.append(("keep", digest))

    def drop_code(self, digest: str) -> None:
        self.code.discard(digest)
        self.did.append(("drop", digest))

    def code_directory(self, digest: str) -> str:
        return f"/code/{digest}"

    def joined(self, answer: leases.Joined) -> None:
        self.did.append(("joined", answer.node))


class Talk:
    """A dialogue, and a server that answers what the test says."""

    def __init__(self, slots: int = 2) -> None:
        self.hands = Hands()
        self.node = Node(slots)
        self.dialogue = Dialogue(self.node, self.hands, "n", "token")
        self.asked: dict[str, int] = {}  # the number of the latest message of each kind

    def _sent(self, told) -> list[messages.Message]:
        told = list(told)
        self.asked.update({type(message).__name__: number for number, message in told})
        return [message for _, message in told]

    def connect(self, node: int = 7, name: str = "n", drop=()) -> list[messages.Message]:
        joining = self._sent(self.dialogue.connected())
        self.hear(leases.Joined(node, name, 3.0, list(drop)), "Join")
        return joining

    def say(self, **more) -> list[messages.Message]:
        """What is said, apart from what is wanted."""
        told = self._sent(self.dialogue.say(0, **more))
        return [message for message in told if not isinstance(message, leases.Want)]

    def hear(self, body: messages.Message, answers: str = "") -> list[messages.Message]:
        number = self.asked[answers] if answers else 0
        return self._sent(self.dialogue.hear(number, body))

    def work(self, batch: int = 1, count: int = 5, digest: str = "") -> None:
        """A lease has come, and the batch's program with it."""
        self.hear(Lease(batch, [(0, count)]))
        self.say()
        self.hear(found(batch, digest=digest), "GetSpec")


def found(batch: int = 1, *, by_value: bool = False, digest: str = "", rerun: bool = True):
    spec = specs.Spec(
        "b", specs.PythonCall("tasks:f"), specs.Options(rerun=rerun),
        None if by_value else {"count": 10},
    )  # fmt: skip
    return messages.SpecFound(batch, "b", 10, specs.encode(spec), digest)


def done(talk: Talk, *indices: int, batch: int = 1) -> None:
    talk.node.chunks(len(indices), 0)
    talk.node.events([base.Part(1, batch, i, i + 1, b"r%d" % i, SECONDS) for i in indices])


@pytest.fixture
def talk():
    made = Talk()
    made.connect()
    made.hands.did.clear()
    return made


# -- coming -----------------------------------------------------------------------------------


def test_a_node_joins_and_takes_the_id_and_name_it_is_given():
    talk = Talk()
    assert talk.connect(node=3, name="n-2") == [leases.Join("n", 2, 0, [], "token")]
    assert (talk.dialogue.id, talk.dialogue.name) == (3, "n-2")
    assert talk.hands.did == [("joined", 3)]


def test_nothing_is_said_before_the_node_has_joined():
    talk = Talk()
    list(talk.dialogue.connected())
    assert talk.say() == []


def test_a_node_that_comes_back_presents_what_it_holds_and_whether_it_drains(talk):
    talk.work(count=4)
    done(talk, 0)
    talk.say()
    talk.dialogue.disconnected()
    talk.node.drain()  # what has not begun goes back
    assert talk.connect() == [leases.Join("n", 2, 7, [Held(1, [(0, 1)])], "token", True)]


def test_what_the_server_does_not_want_is_dropped(talk):
    talk.work(count=5)
    talk.dialogue.disconnected()
    talk.connect(drop=[Held(1, [(1, 3)])])
    assert talk.node.held() == [Held(1, [(0, 1), (3, 5)])]


def test_a_node_that_is_refused_ends_with_the_reason():
    talk = Talk()
    talk._sent(talk.dialogue.connected())
    with pytest.raises(RequestError, match="refused this node: no such slots"):
        talk.hear(messages.Refused("bad-request", "no such slots"), "Join")


# -- programs ---------------------------------------------------------------------------------


def test_a_program_is_asked_for_once_and_made_known(talk):
    talk.hear(Lease(1, [(0, 5)]))
    assert talk.say() == [messages.GetSpec(1)]
    assert talk.say() == []
    assert talk.hear(found(), "GetSpec") == []
    assert talk.hands.did == [("add", 1, "", None)]
    assert talk.say() == []
    assert [chunk.start for chunk, _ in talk.node.chunks(2, 0)] == [0, 1]


def test_a_program_that_is_known_is_not_asked_for_again(talk):
    talk.work()
    done(talk, *range(5))
    talk.hear(Lease(1, [(7, 8)]))
    assert not any(isinstance(message, messages.GetSpec) for message in talk.say())
    assert [chunk.start for chunk, _ in talk.node.chunks(1, 0)] == [7]


def test_the_code_of_a_program_comes_before_the_program(talk):
    talk.hear(Lease(1, [(0, 5)]))
    talk.say()
    assert talk.hear(found(digest=DIGEST), "GetSpec") == [leases.GetCode(DIGEST)]
    assert talk.hands.did == []
    assert talk.say() == [], "neither the program nor its code is asked for again"
    talk.hear(leases.Code(FILES), "GetCode")
    assert talk.hands.did == [("keep", DIGEST), ("add", 1, DIGEST, f"/code/{DIGEST}")]


def test_two_batches_of_one_digest_ask_for_its_code_once(talk):
    for batch in (1, 2):
        talk.hear(Lease(batch, [(0, 5)]))
    first, second = talk.dialogue.say(0)
    assert list(talk.dialogue.hear(first[0], found(1, digest=DIGEST))) != []
    number = talk.dialogue._number
    assert list(talk.dialogue.hear(second[0], found(2, digest=DIGEST))) == []
    assert talk.dialogue._number == number
    list(talk.dialogue.hear(number, leases.Code(FILES)))
    assert [did[:2] for did in talk.hands.did] == [("keep", DIGEST), ("add", 1), ("add", 2)]


def test_code_that_is_there_is_not_asked_for(talk):
    talk.hands.code.add(DIGEST)
    talk.hear(Lease(1, [(0, 5)]))
    talk.say()
    assert talk.hear(found(digest=DIGEST), "GetSpec") == []
    assert talk.hands.did == [("add", 1, DIGEST, f"/code/{DIGEST}")]


def test_a_program_that_comes_after_its_batch_was_dropped_is_not_added(talk):
    talk.hear(Lease(1, [(0, 5)]))
    talk.say()
    talk.hear(leases.Dropped(1))
    talk.hands.did.clear()
    assert talk.hear(found(digest=DIGEST), "GetSpec") == []
    assert talk.hands.did == []


def test_code_that_comes_after_its_batch_was_dropped_adds_nothing(talk):
    talk.hear(Lease(1, [(0, 5)]))
    talk.say()
    talk.hear(found(digest=DIGEST), "GetSpec")
    talk.hear(leases.Dropped(1))
    talk.hands.did.clear()
    talk.hear(leases.Code(FILES), "GetCode")
    assert [did[0] for did in talk.hands.did] == ["keep"]


def test_code_is_kept_as_long_as_some_program_needs_it(talk):
    talk.hands.code.add(DIGEST)
    for batch in (1, 2):
        talk.work(batch, digest=DIGEST)
    talk.hands.did.clear()
    talk.hear(leases.Dropped(1))
    assert talk.hands.did == [("kill", 1), ("forget", 1)]
    talk.hear(leases.Dropped(2))
    assert talk.hands.did[2:] == [("kill", 2), ("forget", 2), ("drop", DIGEST)]


def test_programs_without_work_are_forgotten_when_they_are_many(talk):
    for batch in range(1, MAX_IDLE_BATCHES + 3):
        talk.work(batch, count=1)
        done(talk, 0, batch=batch)
    talk.say()
    assert [did for did in talk.hands.did if did[0] == "forget"] == [("forget", 1), ("forget", 2)]
    talk.hear(Lease(1, [(5, 6)]))
    assert messages.GetSpec(1) in talk.say()


def test_a_batch_that_must_not_run_twice_is_known_as_one(talk):
    talk.hear(Lease(1, [(0, 5)], 1e-6))
    talk.say()
    talk.hear(found(rerun=False), "GetSpec")
    assert [(c.start, c.stop) for c, _ in talk.node.chunks(1, 2)] == [(0, 1)]


def test_a_second_lease_of_such_a_batch_is_known_as_one_too(talk):
    talk.hear(Lease(1, [(0, 1)], 1e-6))
    talk.say()
    talk.hear(found(rerun=False), "GetSpec")
    talk.hear(Lease(1, [(2, 9)], 1e-6))
    assert all(c.stop - c.start == 1 for c, _ in talk.node.chunks(2, 2))


# -- blocks -----------------------------------------------------------------------------------


def test_blocks_that_are_missing_are_asked_for_and_taken(talk):
    talk.hear(Lease(1, [(0, 5)]))
    talk.say()
    talk.hear(found(by_value=True), "GetSpec")
    assert talk.say() == [messages.GetBlock(1, 0)]
    assert talk.say() == []
    talk.hear(messages.Block(0, 5, b"items"), "GetBlock")
    assert talk.node.chunks(1, 0)[0][0].block == base.Block(0, 5, b"items")


def test_a_block_that_nobody_asked_for_is_ignored(talk):
    talk.work()
    talk.hear(messages.Block(0, 5, b"items"))
    assert talk.node.chunks(1, 0)[0][0].block is None


# -- reports ----------------------------------------------------------------------------------


def test_what_is_done_is_reported_and_forgotten_when_it_is_journalled(talk):
    talk.work(count=1)
    done(talk, 0)
    (report,) = talk.say()
    assert report.parts == [leases.Part(1, 0, 1, b"r0", SECONDS)]
    assert talk.say() == []
    talk.hear(messages.Done(), "Report")
    assert talk.node.delivery.empty


def test_a_done_that_answers_something_else_acknowledges_nothing(talk):
    talk.work(count=1)
    done(talk, 0)
    talk.say()
    list(talk.dialogue.hear(0, messages.Done()))
    list(talk.dialogue.hear(999, messages.Done()))
    assert not talk.node.delivery.empty


def test_reports_wait_while_the_network_has_no_room(talk):
    talk.work(count=1)
    done(talk, 0)
    assert talk.say(has_room=lambda: False) == []
    assert len(talk.say(has_room=lambda: True)) == 1


def test_idle_slots_are_told_without_a_number(talk):
    assert list(talk.dialogue.say(2)) == [(0, leases.Want(2, 2))]


def test_after_a_break_everything_is_said_again(talk):
    talk.work(1, count=1)
    done(talk, 0)
    talk.hear(Lease(2, [(0, 5)]))
    talk.hear(Lease(3, [(0, 5)]))
    before = talk.say()
    asked = [messages.GetSpec(2), messages.GetSpec(3)]
    assert before[:2] == asked
    number = talk.asked["GetSpec"]
    talk.dialogue.disconnected()
    talk.connect()
    again = talk.say()
    assert again == before
    assert number not in talk.asked.values()


def test_code_that_was_on_its_way_when_the_connection_broke_is_asked_for_again(talk):
    talk.hear(Lease(1, [(0, 5)]))
    talk.say()
    talk.hear(found(digest=DIGEST), "GetSpec")
    talk.dialogue.disconnected()
    talk.connect()
    assert talk.say() == [messages.GetSpec(1)]
    assert talk.hear(found(digest=DIGEST), "GetSpec") == [leases.GetCode(DIGEST)]


def test_an_answer_of_the_connection_before_is_none(talk):
    talk.work(count=1)
    done(talk, 0)
    talk.say()
    number = talk.asked["Report"]
    talk.dialogue.disconnected()
    talk.connect()
    list(talk.dialogue.hear(number, messages.Done()))
    assert not talk.node.delivery.empty


# -- unasked ----------------------------------------------------------------------------------


def test_a_paused_batch_is_given_back(talk):
    talk.work(count=5)
    talk.node.chunks(2, 0)
    talk.hear(leases.Recall(1))
    (report,) = talk.say()
    assert report.returned == [Held(1, [(2, 5)])]


def test_a_node_that_is_to_drain_takes_nothing_more(talk):
    talk.hear(leases.Drain())
    assert talk.node.draining
    assert talk.say() == []
    talk.hear(Lease(1, [(0, 5)]))
    assert any(
        message.returned == [Held(1, [(0, 5)])]
        for message in talk.say()
        if isinstance(message, leases.Report)
    )


def test_a_dropped_batch_is_killed_and_forgotten(talk):
    talk.work()
    done(talk, 0)
    talk.hands.did.clear()
    talk.hear(leases.Dropped(1))
    assert talk.hands.did == [("kill", 1), ("forget", 1)]
    assert talk.say() == []
    assert talk.node.held() == []


def test_a_goodbye_waits_for_its_answer(talk):
    assert not talk.dialogue.is_leaving
    number, message = talk.dialogue.goodbye()
    assert message == leases.Leave(7)
    assert talk.dialogue.is_leaving
    list(talk.dialogue.hear(number, messages.Done()))
    assert not talk.dialogue.is_leaving


# -- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["unknown-node", "journal", "internal"])
def test_a_report_that_may_be_taken_later_is_kept(talk, code):
    talk.work(count=1)
    done(talk, 0)
    talk.say()
    with pytest.raises(ProtocolError, match="not now"):
        talk.hear(messages.Refused(code, "not now"), "Report")
    talk.dialogue.disconnected()
    (joining,) = talk.connect()
    assert joining.held == [Held(1, [(0, 1)])]
    assert [len(report.parts) for report in talk.say() if isinstance(report, leases.Report)] == [1]


def test_a_report_that_is_never_taken_is_given_up_and_its_tasks_with_it(talk):
    talk.work(count=1)
    done(talk, 0)
    talk.say()
    with pytest.raises(ProtocolError, match="no part"):
        talk.hear(messages.Refused("bad-request", "no part"), "Report")
    talk.dialogue.disconnected()
    (joining,) = talk.connect()
    assert joining.held == [], "so that somebody runs them again"
    assert talk.say() == []


@pytest.mark.parametrize("kind", ["GetSpec", "GetBlock"])
def test_work_whose_program_or_arguments_are_refused_is_forgotten(talk, kind):
    talk.hear(Lease(1, [(0, 5)]))
    talk.say()
    if kind == "GetBlock":
        talk.hear(found(by_value=True), "GetSpec")
        talk.say()
    talk.hear(messages.Refused("unknown-batch", "there is no batch 1"), kind)
    assert talk.node.held() == []
    assert talk.say() == []


def test_work_whose_code_is_refused_is_forgotten(talk):
    for batch in (1, 2):
        talk.hear(Lease(batch, [(0, 5)]))
    (first, _), (second, _) = talk.dialogue.say(0)
    ((number, _),) = talk.dialogue.hear(first, found(1, digest=DIGEST))
    list(talk.dialogue.hear(second, found(2, digest=DIGEST)))
    list(talk.dialogue.hear(number, messages.Refused("bad-request", "no files are known")))
    assert talk.node.held() == []
    assert list(talk.dialogue.say(2)) == [(0, leases.Want(2, 2))]


def test_a_refusal_of_nothing_that_was_asked_changes_nothing(talk):
    talk.work()
    talk.hear(messages.Refused("bad-request", "what?"))
    assert talk.node.held() == [Held(1, [(0, 5)])]
