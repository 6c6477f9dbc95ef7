"""Requests that are answered several times, and what is told while a lock is held."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest
from fake_link import Kept
from farm_harness import PATIENCE, eventually

from farm.client import link as module
from farm.client import putoff
from farm.client.asking import say
from farm.client.follow import Follower
from farm.client.once import MUST_NOT_WAIT, Reply
from farm.client.session import Session
from farm.errors import FarmError, RequestError
from farm.wire.controls import Forget
from farm.wire.messages import (
    Cancel,
    Done,
    GetNodes,
    GetOutcomes,
    GetStatus,
    Nodes,
    Outcomes,
    Refused,
)


def page(cursor: int, *, ended: bool = False) -> Outcomes:
    return Outcomes([], cursor, ended, "running")


class Reader:
    """A stream that asks on from where it is."""

    def __init__(self) -> None:
        self.request = GetOutcomes(1, 0, follow=True)
        self.heard: list[Any] = []
        self.threads: set[threading.Thread] = set()

    def goes_on(self, body: Any) -> bool:
        return isinstance(body, Outcomes) and not body.ended

    def set_result(self, body: Any) -> None:
        self.threads.add(threading.current_thread())
        self.request.cursor = body.cursor
        self.heard.append(body)

    def set_exception(self, error: FarmError) -> None:
        self.heard.append(error)


def heard(reader: Reader, count: int) -> list[Any]:
    eventually(lambda: len(reader.heard) >= count, f"{count} answers")
    return reader.heard


def test_one_request_has_several_answers_until_one_is_the_last(link, line):
    reader = Reader()
    link.follow(reader.request, reader)
    number = line.numbers(1)[0]
    for body in (page(3), page(5), page(5, ended=True), page(9)):
        line.say(number, body)
    assert link.ask(GetNodes())
    line.say(line.numbers(2)[1], Nodes([]))
    assert heard(reader, 3) == [page(3), page(5), page(5, ended=True)]
    eventually(lambda: not link._asked, "nothing is unanswered")
    assert len(reader.heard) == 3, "what comes after the last one is nobody's"
    assert len(link._asked) == 0


def test_after_a_break_it_is_asked_on_from_where_it_was(link, network):
    reader = Reader()
    link.follow(reader.request, reader)
    number = network.lines[0].numbers(1)[0]
    network.lines[0].say(number, page(7))
    heard(reader, 1)
    network.lines[0].close()
    eventually(lambda: len(network.lines) == 2, "it connects again")
    network.lines[1].numbers(1)
    assert network.lines[1].asked == [(number, GetOutcomes(1, 7, follow=True))]
    network.lines[1].say(number, page(8, ended=True))
    assert heard(reader, 2)[1] == page(8, ended=True)


def test_what_is_busy_in_the_middle_is_asked_again(link, line):
    reader = Reader()
    link.follow(reader.request, reader)
    number = line.numbers(1)[0]
    line.say(number, page(2))
    line.say(number, Refused("busy", "too many wait"))
    line.numbers(2)
    line.say(number, page(3, ended=True))
    assert heard(reader, 2) == [page(2), page(3, ended=True)]
    assert line.asked[1] == (number, GetOutcomes(1, 2, follow=True))


def test_a_refusal_ends_it(link, line):
    reader = Reader()
    link.follow(reader.request, reader)
    number = line.numbers(1)[0]
    line.say(number, Refused("unknown-batch", "there is no batch 1"))
    (error,) = heard(reader, 1)
    assert isinstance(error, RequestError)
    assert error.code == "unknown-batch"
    assert len(link._asked) == 0


def test_the_end_of_the_link_ends_it(link, line):
    reader = Reader()
    link.follow(reader.request, reader)
    line.numbers(1)
    link.close()
    assert [str(error) for error in heard(reader, 1)] == ["this session is closed"]
    with pytest.raises(FarmError, match="this session is closed"):
        link.follow(reader.request, Reader())
    assert len(link._asked) == 0


def test_what_comes_too_early_is_sent_again_in_its_order(link, line):
    """Requests of which one needs the other: the server refuses those that overtook it."""
    first, second, third = Future(), Future(), Future()
    for number, future in enumerate((first, second, third)):
        link.tell(GetStatus(str(number)), future)
    numbers = line.numbers(3)
    for number in numbers:
        line.say(number, Refused("early", "the next block begins at 0"))
    assert line.numbers(6)[3:] == numbers
    for number in numbers:
        line.say(number, Done())
    assert [one.result(PATIENCE) for one in (first, second, third)] == [Done()] * 3


def test_an_answer_is_never_told_by_the_one_who_asks(link, line):
    """Who asks may have a lock that the answer needs."""
    lock, told = threading.Lock(), []

    class Locking:
        def set_result(self, body: Any) -> None:
            with lock:
                told.append((body, threading.current_thread()))

        def set_exception(self, error: FarmError) -> None:
            raise AssertionError(error)

    with lock:
        link.tell(GetNodes(), Locking())
        line.say(line.numbers(1)[0], Nodes([]))
    eventually(lambda: told, "the answer")
    assert told == [(Nodes([]), link._reader)]


def test_the_links_own_thread_waits_for_nothing(link, line, monkeypatch):
    drained: list[threading.Thread] = []
    monkeypatch.setattr(line, "drain", lambda: drained.append(threading.current_thread()))
    seen: list[bool] = []
    future: Future[Any] = Future()
    link.tell(GetNodes(), future)

    def ask_more(_: Any) -> None:
        link.ask(GetStatus("1"))
        link.drain()
        seen.append(link.is_own_thread)

    future.add_done_callback(ask_more)
    line.say(line.numbers(1)[0], Nodes([]))
    line.numbers(2)
    eventually(lambda: seen, "the callback is over")
    assert seen == [True]
    assert not link.is_own_thread
    link.drain()
    assert drained == [threading.current_thread()], "only who is not the link's thread waits"


def test_settle_waits_for_what_is_answered_once(link, line):
    future, reader = link.ask(GetNodes()), Reader()
    link.follow(reader.request, reader)
    number = line.numbers(2)[0]
    link.settle(0.01)
    assert not future.done(), "it gave up"
    line.say(number, Nodes([]))
    link.settle(PATIENCE)
    assert future.done()


def test_the_largest_message_is_that_of_the_connection(link, line):
    assert link.largest == line.largest


def test_who_follows_waits_for_a_turn_as_long_as_it_takes(link, line, monkeypatch):
    """More follow than the server lets wait: one has its turn when another's batch is over."""
    monkeypatch.setattr(putoff, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(putoff, "LONGEST_PAUSE", 0.01)
    reader = Reader()
    link.follow(reader.request, reader)
    for count in range(1, 11):
        line.say(line.numbers(count)[-1], Refused("busy", "1000 requests of this connection wait"))
    line.say(line.numbers(11)[-1], page(1, ended=True))
    assert heard(reader, 1) == [page(1, ended=True)]


def test_one_that_may_not_be_followed_is_cancelled(link, line, monkeypatch):
    """Nobody would hear what comes of its batch, which would run on."""
    monkeypatch.setattr(module, "MAX_ASKED", 1)
    link.tell(GetNodes(), Reply())
    taker = Kept()
    Follower(link, 7, taker).start()
    (error,) = taker.ends
    assert "1 requests are unanswered already" in str(error)
    line.numbers(2)
    assert [request for _, request in line.asked] == [GetNodes(), Cancel("7")]


def test_what_cancels_has_a_bound_as_well(link, monkeypatch):
    monkeypatch.setattr(module, "MAX_ASKED", 1)
    monkeypatch.setattr(module, "SPARE_ASKED", 2)
    for _ in range(3):
        link.tell(Cancel("7"), Reply())
    with pytest.raises(FarmError, match="unanswered already"):
        link.tell(Cancel("7"), Reply())


def test_what_would_wait_for_itself_says_so_at_once_and_asks_nothing(link, line):
    said: list[str] = []

    def wait(_: Any) -> None:
        session = Session(link)
        waits = (lambda: link.call(GetNodes(), PATIENCE), session.status, session.nodes)
        for act in waits:
            try:
                act()
            except FarmError as error:
                said.append(str(error))
        link.settle(PATIENCE)

    future: Future[Any] = Future()
    future.add_done_callback(wait)
    link.tell(GetNodes(), future)
    other = Reply()
    link.tell(GetStatus("1"), other)
    first, second = line.numbers(2)
    line.say(first, Nodes([]))
    line.say(second, Done())
    assert other.result(PATIENCE / 3) == Done()
    assert said == [MUST_NOT_WAIT] * 3
    assert len(line.asked) == 2


STALLED = Refused("journal", "the server cannot write its journal")


def test_what_nobody_waits_for_is_said_again_while_the_journal_cannot_be_written(link, line):
    for request in (Cancel("7"), Forget(7)):
        before = len(line.asked)
        say(link, request)
        for count in range(1, 4):
            line.say(line.numbers(before + count)[-1], STALLED)
        line.say(line.numbers(before + 4)[-1], Done())
        assert [one for _, one in line.asked[before:]] == [request] * 4
        link.settle(PATIENCE)


def test_who_waits_is_told_that_the_journal_cannot_be_written(link, line):
    for count, request in enumerate((Cancel("7"), Forget(7)), 1):
        reply = link.ask(request)
        line.say(line.numbers(count)[-1], STALLED)
        with pytest.raises(RequestError, match="cannot write its journal"):
            reply.result(PATIENCE)
