"""How a node comes by what a batch runs: its program, its code once, its blocks."""

from __future__ import annotations

import pytest
from dialogue_talk import DIGEST, FILES, done, found, joined_talk

from farm.engines import base
from farm.node import MAX_IDLE_BATCHES
from farm.wire import leases, messages
from farm.wire.leases import Lease


@pytest.fixture
def talk():
    return joined_talk()


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


@pytest.mark.parametrize(
    ("options", "due"),
    [({"max_failures": 3}, 1.0), ({"max_failure_share": 0.5}, 1.0), ({"retries": 3}, 10.0)],
)
def test_failures_that_may_end_a_batch_are_said_sooner(talk, options, due):
    talk.hear(Lease(1, [(0, 50)], 1.0, pace=10.0))
    talk.say()
    talk.hear(found(**options), "GetSpec")
    chunk = talk.node.chunks(2, 0)[0][0]
    talk.say(now=100.0)
    talk.node.events([base.Failed(chunk.id, 1, 0, "error", "E", "", "", None, 0.1)])
    assert talk.say(now=100.1) == []
    assert talk.dialogue.due == 100.0 + due
    assert len(talk.say(now=100.0 + due)) == 1


def test_the_code_of_a_program_comes_before_the_program(talk):
    talk.hear(Lease(1, [(0, 5)]))
    talk.say()
    assert talk.hear(found(digest=DIGEST), "GetSpec") == [leases.GetCode(DIGEST)]
    assert talk.hands.did == []
    assert talk.say() == [], "neither the program nor its code is asked for again"
    talk.hear(leases.Code(FILES), "GetCode")
    assert talk.hands.did == [("keep", DIGEST), ("add", 1, DIGEST, f"/code/{DIGEST}")]


def test_a_node_whose_disk_does_not_take_the_code_finishes_what_runs_and_leaves(talk):
    talk.hear(Lease(1, [(0, 5)]))
    talk.say()
    talk.hear(found(digest=DIGEST), "GetSpec")

    def full(digest, files):
        raise OSError("no space left")

    talk.hands.keep_code = full
    talk.hear(leases.Code(FILES), "GetCode")
    assert talk.node.draining
    (report,) = talk.say()
    assert report.returned == [leases.Held(1, [(0, 5)])]


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
        talk.hear(messages.Done(), "Report")
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
