"""Outcomes that are handed over as they come: values, exceptions, and what is neither."""

from __future__ import annotations

import pickle
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from fake_farm import SECONDS, done
from fake_link import FakeLink, Kept

from farm.client.follow import Follower
from farm.client.outcome import RemoteTraceback
from farm.errors import FarmError, ProtocolError, RequestError, TaskError, UnknownBatchError
from farm.wire.messages import Done, Failure, GetOutcomes, Outcome


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
def taker(link) -> Kept:
    made = Kept()
    Follower(link, 3, made).start()  # type: ignore[arg-type]
    return made


def failed(index: int, exception: bytes | None, kind: str = "error") -> Outcome:
    failure = Failure(kind, "KeyError", "'k'", "Traceback: here", exception)
    return Outcome(index, index + 1, "n", 0.5, 0, b"", b"", failure)


@dataclass(frozen=True, slots=True)
class Frozen(Exception):
    code: int = 0


class Bomb:
    """What raises when it is unpickled."""

    def __reduce__(self) -> Any:
        return (pickle.loads, (b"broken",))


class Exit:
    """What ends the thread that unpickles it."""

    def __reduce__(self) -> Any:
        return (sys.exit, ("unpickled",))


def test_values_come_with_their_indices_and_the_next_page_is_asked_for_after_them(link, taker):
    link.page([done(4, ["e", "f"]), done(0, ["a"])])
    assert taker.values == {4: "e", 5: "f", 0: "a"}
    assert (taker.pages, taker.ends) == (1, [])
    assert link.said == [GetOutcomes(3, 1, follow=True)], "as it would be asked again"
    link.page(ended=True)
    assert (taker.pages, taker.ends) == (2, [None])


def test_a_part_of_a_payload_is_cut_out(link, taker):
    whole = pickle.dumps(list("abcdef"))
    link.page([Outcome(12, 14, "n", 1.0, 2, whole, SECONDS * 6)])
    assert taker.values == {12: "c", 13: "d"}


def test_an_exception_is_the_one_that_was_raised_with_the_remote_traceback(link, taker):
    link.page([failed(2, pickle.dumps(KeyError("k")))])
    error = taker.errors[2]
    assert isinstance(error, KeyError)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "Traceback: here" in str(error.__cause__)


@pytest.mark.parametrize("exception", [None, b"broken", pickle.dumps("no exception")])
def test_one_that_did_not_travel_is_a_task_error_with_the_traceback(link, taker, exception):
    link.page([failed(2, exception)])
    error = taker.errors[2]
    assert isinstance(error, TaskError)
    assert (error.index, error.type_name) == (2, "KeyError")
    assert isinstance(error.__cause__, RemoteTraceback)


def test_values_that_cannot_be_unpickled_are_failures_of_their_calls(link, taker):
    link.page([done(0, [Bomb(), 2]), done(2, ["c"])])
    assert taker.errors.keys() == {0, 1}
    assert isinstance(taker.errors[0], pickle.UnpicklingError)
    assert taker.values == {2: "c"}


@pytest.mark.parametrize("bad", [done(0, [Exit()]), failed(0, pickle.dumps(Exit()))])
def test_whatever_is_raised_meanwhile_is_the_failure_of_its_call(link, taker, bad):
    link.page([bad, done(1, ["b"])])
    assert isinstance(taker.errors.pop(0), TaskError), "raised as it is, it would end the program"
    assert (taker.errors, taker.values) == ({}, {1: "b"})


def test_an_exception_that_lets_nobody_set_its_cause_has_one_all_the_same(link, taker):
    link.page([failed(0, pickle.dumps(Frozen(3))), done(1, ["b"])])
    assert taker.errors[0] == Frozen(3)
    assert isinstance(taker.errors[0].__cause__, RemoteTraceback)
    assert taker.values == {1: "b"}


def test_too_few_values_are_failures_of_their_calls(link, taker):
    link.page([Outcome(0, 3, "n", 1.0, 0, pickle.dumps(["a"]), SECONDS * 3)])
    assert taker.errors.keys() == {0, 1, 2}
    assert "no result" in str(taker.errors[0])


def test_a_refusal_ends_it_in_words_for_people(link, taker):
    _, stream = link._streams[0]
    link._bring(stream, RequestError("unknown-batch", "there is no batch 3"))
    assert [type(end) for end in taker.ends] == [UnknownBatchError]


def test_an_answer_of_another_kind_ends_it(link, taker):
    _, stream = link._streams[0]
    assert not stream.goes_on(Done())
    link._bring(stream, Done())
    assert [type(end) for end in taker.ends] == [ProtocolError]


def test_a_closed_link_ends_it_at_once(link):
    link.close()
    taker = Kept()
    Follower(link, 3, taker).start()  # type: ignore[arg-type]
    assert [type(end) for end in taker.ends] == [FarmError]
