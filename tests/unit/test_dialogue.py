"""What a node says to its server and what it makes of each answer, without a network."""

from __future__ import annotations

import pytest
from dialogue_talk import DIGEST, SECONDS, Talk, done, found, joined_talk

from farm.dialogue import _at_most
from farm.errors import ProtocolError, RequestError
from farm.wire import leases, messages
from farm.wire.leases import Held, Lease, Report
from farm.wire.messages import MAX_CLAIMS, MAX_HELD


@pytest.fixture
def talk():
    return joined_talk()


# -- coming -----------------------------------------------------------------------------------


def test_a_node_joins_and_takes_the_id_and_name_it_is_given():
    talk = Talk()
    assert talk.connect(node=3, name="n-2") == [leases.Join("n", 2, [], "token")]
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
    assert talk.connect() == [leases.Join("n", 2, [Held(1, [(0, 1)])], "token", True)]


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
    assert ("take back", 1) in talk.hands.did


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
    assert message == leases.Leave("token")
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
    talk.hands.did.clear()
    talk.hear(messages.Refused("unknown-batch", "there is no batch 1"), kind)
    assert talk.node.held() == []
    assert talk.say() == []
    assert talk.hands.did == [("kill", 1), ("forget", 1)]


def test_a_refusal_of_nothing_that_was_asked_changes_nothing(talk):
    talk.work()
    talk.hear(messages.Refused("bad-request", "what?"))
    assert talk.node.held() == [Held(1, [(0, 5)])]


# -- another server, and a disk that is full --------------------------------------------------


def test_what_another_server_gave_is_forgotten(talk):
    talk.work(count=4)
    talk.dialogue.disconnected()
    talk.dialogue.start_anew()
    assert talk.node.held() == []
    assert ("kill", 1) in talk.hands.did
    assert ("forget", 1) in talk.hands.did or ("forget_program", 1) in talk.hands.did


def test_what_is_claimed_is_no_more_than_the_server_takes():
    many = [Held(batch, [(0, 1), (2, 3)]) for batch in range(MAX_HELD + 5)]
    assert _at_most(many, MAX_CLAIMS) == many[:MAX_HELD]
    assert _at_most(many, 3) == [many[0], Held(1, [(0, 1)])]


def test_what_came_is_told_once_in_a_pace_with_what_is_wanted():
    talk = joined_talk()
    talk.hear(Lease(1, [(0, 9)], 1.0, pace=2.0))
    talk.say(now=10.0)
    talk.hear(found(), "GetSpec")
    done(talk, 0, 1)
    talk.node.chunks(2, 0)
    assert (list(talk.dialogue.say(0, now=11.9)), talk.dialogue.due) == ([], 12.0)
    [(_, report)] = talk.dialogue.say(0, now=12.0)
    assert isinstance(report, Report)
    assert [part.start for part in report.parts] == [0, 1]
    assert report.want is not None
    assert talk.dialogue.due is None


def test_nothing_is_due_before_the_server_has_taken_the_node_in():
    talk = joined_talk()
    talk.hear(Lease(1, [(0, 9)], 1.0, pace=2.0))
    talk.say()
    talk.hear(found(), "GetSpec")
    done(talk, 0)
    talk.dialogue.disconnected()
    assert list(talk.dialogue.connected())
    assert talk.dialogue.due is None
