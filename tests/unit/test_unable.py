"""What a node cannot begin has failed, each task with the reason, and all else goes on."""

from __future__ import annotations

import pytest
from dialogue_talk import DIGEST, FILES, Talk, done, found, joined_talk

from farm.codestore import CodeStore
from farm.engines import base
from farm.errors import ProtocolError
from farm.node import MAX_IDLE_BATCHES
from farm.wire import leases, messages
from farm.wire.leases import Held, Lease, Report
from farm.wire.messages import GetBlock, GetSpec, Refused

OTHERS = range(2, MAX_IDLE_BATCHES + 3)
"""Batches with which one more is forgotten, and the next one with it."""


@pytest.fixture
def talk():
    return joined_talk()


def failures(told: list[messages.Message]) -> list[leases.Failed]:
    return [failed for report in told if isinstance(report, Report) for failed in report.failed]


def tasks(told: list[messages.Message]) -> list[tuple[int, int]]:
    return [(failed.batch, failed.index) for failed in failures(told)]


def by_value(talk: Talk, *, rerun: bool = True) -> None:
    """A lease whose first block is asked for."""
    talk.hear(Lease(1, [(0, 6), (8, 9)]))
    talk.say()
    talk.hear(found(by_value=True, rerun=rerun), "GetSpec")
    assert talk.say() == [GetBlock(1, 0)]


# -- arguments --------------------------------------------------------------------------------


def test_all_tasks_of_a_block_that_was_lost_have_failed_and_the_others_go_on(talk):
    by_value(talk)
    talk.hear(Refused("damaged", "malformed: it is gone", tasks=(0, 4)), "GetBlock")
    told = talk.say()
    assert tasks(told) == [(1, 0), (1, 1), (1, 2), (1, 3)]
    (reason, *others) = {failed.failure.text for failed in failures(told)}
    assert (failures(told)[0].failure.kind, others) == ("error", [])
    assert "cannot be had from the server" in reason
    assert "malformed: it is gone" in reason
    assert "farm retry" in reason
    assert GetBlock(1, 4) in told
    talk.hear(messages.Block(4, 9, b"items"), "GetBlock")
    assert [(c.start, c.stop) for c, _ in talk.node.chunks(9, 0)] == [(4, 5), (5, 6), (8, 9)]


@pytest.mark.parametrize("code", ["damaged", "bad-request", "new-one"])
def test_where_nobody_knows_which_tasks_it_is_the_one_that_was_asked_for(talk, code):
    by_value(talk)
    talk.hear(Refused(code, "no"), "GetBlock")
    told = talk.say()
    assert tasks(told) == [(1, 0)]
    assert GetBlock(1, 1) in told, "the next one is asked for"


def test_a_task_that_is_tried_again_asks_again(talk):
    by_value(talk)
    talk.hear(Refused("damaged", "gone", tasks=(0, 9)), "GetBlock")
    assert len(tasks(talk.say())) == 7
    talk.hear(Lease(1, [(0, 1)]))
    assert talk.say() == [GetBlock(1, 0)]
    talk.hear(messages.Block(0, 9, b"items"), "GetBlock")
    assert [chunk.start for chunk, _ in talk.node.chunks(1, 0)] == [0]


@pytest.mark.parametrize("code", ["journal", "internal", "busy"])
def test_what_may_be_had_later_is_kept(talk, code):
    by_value(talk)
    with pytest.raises(ProtocolError):
        talk.hear(Refused(code, "not now"), "GetBlock")
    assert talk.node.held() == [Held(1, [(0, 6), (8, 9)])]
    assert tasks(talk.say()) == []


def test_what_runs_of_the_batch_goes_on_and_is_told(talk):
    by_value(talk, rerun=False)
    talk.hear(messages.Block(0, 2, b"items"), "GetBlock")
    chunks = talk.node.chunks(2, 0)
    assert GetBlock(1, 2) in talk.say()
    talk.hands.did.clear()
    talk.hear(Refused("damaged", "gone", tasks=(2, 9)), "GetBlock")
    assert talk.hands.did == []
    assert tasks(talk.say()) == [(1, 2), (1, 3), (1, 4), (1, 5), (1, 8)]
    done(talk, *(chunk.start for chunk, _ in chunks))
    (report,) = talk.say()
    assert [part.start for part in report.parts] == [0, 1]


# -- programs ---------------------------------------------------------------------------------


def test_work_whose_program_is_refused_has_failed_and_is_not_asked_for_again(talk):
    talk.hear(Lease(1, [(0, 3)]))
    talk.say()
    talk.hear(Refused("damaged", "malformed"), "GetSpec")
    told = talk.say()
    assert tasks(told) == [(1, 0), (1, 1), (1, 2)]
    assert "the program of this batch cannot be had" in failures(told)[0].failure.text
    assert talk.say() == []
    talk.hear(Lease(1, [(3, 4)]))
    assert talk.say() == [GetSpec(1)], "of another lease it is asked for anew"


def test_work_whose_code_is_refused_has_failed(talk):
    for batch in (1, 2):
        talk.hear(Lease(batch, [(0, 2)]))
    (first, _), (second, _) = talk.dialogue.say(0)
    ((number, _),) = talk.dialogue.hear(first, found(1, digest=DIGEST))
    list(talk.dialogue.hear(second, found(2, digest=DIGEST)))
    list(talk.dialogue.hear(number, Refused("bad-request", "no files are known")))
    assert tasks(talk.say()) == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert list(talk.dialogue.say(2)) == [(0, leases.Want(2, 2))]


@pytest.mark.parametrize("files", [{"tasks.py": b"something else"}, {"../x.py": b""}, {}], ids=str)
def test_files_that_are_not_those_of_their_digest_fail_their_batch_and_the_node_stays(
    talk, tmp_path, files
):
    """Whoever gets the batch gets the same: one node after the other would leave."""
    talk.hands.keep_code = CodeStore(tmp_path).put
    talk.work(2, count=1)
    talk.hear(Lease(1, [(0, 2)]))
    talk.say()
    talk.hear(found(digest=DIGEST), "GetSpec")
    talk.hear(leases.Code(files), "GetCode")
    told = talk.say()
    assert tasks(told) == [(1, 0), (1, 1)]
    assert {failed.failure.type_name for failed in failures(told)} == {"ProgramError"}
    assert not talk.node.draining
    assert [(c.batch, c.start) for c, _ in talk.node.chunks(1, 0)] == [(2, 0)]


def test_a_digest_that_is_none_fails_its_batch(talk, tmp_path):
    talk.hands.has_code = CodeStore(tmp_path).has
    talk.hear(Lease(1, [(0, 2)]))
    talk.say()
    assert talk.hear(found(digest="../x"), "GetSpec") == [leases.GetCode("../x")]
    talk.hear(Refused("bad-request", "no files are known"), "GetCode")
    assert tasks(talk.say()) == [(1, 0), (1, 1)]


@pytest.mark.parametrize("digest", ["", DIGEST])
def test_a_node_that_cannot_read_a_program_gives_it_back_and_leaves(talk, digest):
    """Whatever it reported of such tasks would be final for those that must not run twice."""
    talk.work(2, count=1)
    (chunk, _) = talk.node.chunks(1, 0)[0]
    talk.hear(Lease(1, [(0, 2)]))
    talk.say()
    asked = talk.hear(messages.SpecFound(1, "b", 10, b"\xc1", digest), "GetSpec")
    if digest:
        assert asked == [leases.GetCode(DIGEST)]
        talk.hear(leases.Code(FILES), "GetCode")
    (report,) = talk.say()
    assert report.returned == [Held(1, [(0, 2)])]
    assert report.failed == []
    assert talk.node.draining
    assert chunk.batch == 2, "what runs of others is finished"
    assert talk.node.held() == [Held(2, [(0, 1)])]


def test_another_batch_keeps_the_files_that_it_shares_with_an_unreadable_one(talk):
    for batch in (1, 2):
        talk.hear(Lease(batch, [(0, 2)]))
    (first, _), (second, _) = talk.dialogue.say(0)
    ((number, _),) = talk.dialogue.hear(first, messages.SpecFound(1, "b", 10, b"\xc1", DIGEST))
    list(talk.dialogue.hear(second, found(2, digest=DIGEST)))
    list(talk.dialogue.hear(number, leases.Code(FILES)))
    assert talk.hands.code == {DIGEST}


def test_so_does_one_whose_engine_cannot_read_it(talk):
    def refuse(program):
        raise ValueError("what is this?")

    talk.hands.add_program = refuse
    talk.work(count=1)
    assert talk.node.draining


# -- reports ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rerun", [True, False])
def test_what_must_not_run_twice_is_lost_where_its_report_is_never_taken(talk, rerun):
    talk.hear(Lease(1, [(0, 5)]))
    talk.say()
    talk.hear(found(rerun=rerun), "GetSpec")
    done(talk, 0)
    talk.say()
    with pytest.raises(ProtocolError, match="no part"):
        talk.hear(Refused("bad-request", "no part"), "Report")
    talk.dialogue.disconnected()
    (joining,) = talk.connect()
    assert joining.held == [Held(1, [(1, 5)])]
    assert [unheard.index for unheard in joining.failed] == ([] if rerun else [0])
    told = failures(talk.say())
    assert [(failed.index, failed.failure.kind) for failed in told] == (
        [] if rerun else [(0, "lost")]
    )


@pytest.mark.parametrize("what", ["a result", "a failure"])
def test_a_batch_that_must_not_run_twice_is_known_as_one_until_all_of_it_is_told(talk, what):
    """However many others the node has had since, what is refused of it is lost."""
    for batch in (1, *OTHERS):
        talk.hear(Lease(batch, [(0, 1)]))
        talk.say()
        talk.hear(found(batch, rerun=False), "GetSpec")
        if what == "a result":
            done(talk, 0, batch=batch)
        else:
            talk.node.chunks(1, 0)
            talk.node.events([base.Failed(batch, batch, 0, "error", "E", "no", "", None, 0.1)])
        talk.say()
        if batch == 1:
            of_the_first = talk.asked["Report"]
        else:
            talk.hear(messages.Done(), "Report")
    with pytest.raises(ProtocolError):
        list(talk.dialogue.hear(of_the_first, Refused("bad-request", "no")))
    talk.dialogue.disconnected()
    talk.connect()
    assert tasks(talk.say()) == [(1, 0)]


def test_a_batch_of_which_all_is_told_is_forgotten(talk):
    for batch in (1, *OTHERS):
        talk.work(batch, count=1)
        done(talk, 0, batch=batch)
        talk.say()
        talk.hear(messages.Done(), "Report")
    talk.say()
    assert [did for did in talk.hands.did if did[0] == "forget"] == [("forget", 1), ("forget", 2)]
