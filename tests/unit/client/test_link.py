"""One connection for requests: what is asked again, what is not sent, what a break changes."""

from __future__ import annotations

import threading

import pytest
from fake_line import Line
from farm_harness import KEY, PATIENCE, eventually

from farm.client import putoff
from farm.client.link import Link
from farm.errors import FarmError, NotAuthorisedError, RequestError, UsageError
from farm.wire import codec, greeting
from farm.wire.address import Address
from farm.wire.messages import Done, GetNodes, GetSpec, GetStatus, Nodes, Refused

BUSY = Refused("busy", "too many requests")


def test_an_answer_comes_to_who_asked(link, line):
    one, other = link.ask(GetNodes()), link.ask(GetStatus("1"))
    first, second = line.numbers(2)
    line.say(second, Refused("unknown-batch", "there is no batch 1"))
    line.say(first, Nodes([]))
    assert one.result(PATIENCE) == Nodes([])
    with pytest.raises(RequestError, match="there is no batch 1") as error:
        other.result(PATIENCE)
    assert error.value.code == "unknown-batch"


def test_what_was_read_is_not_kept_until_more_is(link, line):
    reply = link.ask(GetNodes())
    line.say(line.numbers(1)[0], Nodes([]))
    reply.result(PATIENCE)
    eventually(lambda: not line.lent, "what was read is given back")


# -- busy -------------------------------------------------------------------------------------


def test_what_the_server_is_too_busy_for_is_asked_again_until_it_is_answered(link, line):
    future = link.ask(GetNodes())
    for count in range(1, 6):
        number = line.numbers(count)[-1]
        line.say(number, BUSY)
    number = line.numbers(6)[-1]
    assert not future.done()
    line.say(number, Nodes([]))
    assert future.result(PATIENCE) == Nodes([])
    assert line.asked == [(number, GetNodes())] * 6, "the same request each time"


def test_others_are_answered_meanwhile(link, line):
    busy, other = link.ask(GetNodes()), link.ask(GetStatus("1"))
    first, second = line.numbers(2)
    line.say(first, BUSY)
    line.say(second, Done())
    assert other.result(PATIENCE) == Done()
    line.numbers(3)
    assert not busy.done()


def test_a_server_that_stays_busy_is_given_up(link, line, monkeypatch):
    monkeypatch.setattr(putoff, "BUSY_SECONDS", 0.05)
    future, stop = link.ask(GetNodes()), threading.Event()

    def refuse() -> None:
        answered = 0
        while not stop.is_set():
            for number, _ in line.asked[answered:]:
                answered += 1
                line.say(number, BUSY)

    refusing = threading.Thread(target=refuse)
    refusing.start()
    try:
        with pytest.raises(RequestError, match="too many requests") as error:
            future.result(PATIENCE)
    finally:
        stop.set()
        refusing.join()
    assert error.value.code == "busy"
    assert len(line.asked) > 1
    assert link._put_off._refusals == {}


def test_what_waits_to_be_asked_again_is_asked_once_after_a_break(link, network, monkeypatch):
    monkeypatch.setattr(putoff, "BUSY_PAUSE", 3600.0)
    line = network.lines[0]
    future = link.ask(GetNodes())
    line.say(line.numbers(1)[0], BUSY)
    eventually(lambda: link._put_off, "it waits")
    line.close()
    eventually(lambda: len(network.lines) == 2, "it connects again")
    number = network.lines[1].numbers(1)[0]
    assert not link._put_off
    network.lines[1].say(number, Nodes([]))
    assert future.result(PATIENCE) == Nodes([])
    assert len(network.lines[1].asked) == 1


# -- too large --------------------------------------------------------------------------------


def test_what_the_server_would_not_take_is_not_sent(network):
    network.next.append(Line(largest=1000))
    link = Link(Address("127.0.0.1", 1), KEY)
    try:
        line = network.lines[0]
        with pytest.raises(UsageError, match=r"takes at most 1,000 \(`farm serve --max-frame`\)"):
            link.ask(GetStatus("x" * 1000))
        assert line.asked == []
        assert len(link._asked) == 0
        future = link.ask(GetSpec(1))
        line.say(line.numbers(1)[0], Done())
        assert future.result(PATIENCE) == Done()
    finally:
        link.close()


def test_a_message_may_be_just_as_long_as_the_server_takes(network):
    request = GetStatus("x" * 500)
    length = len(codec.encode(1, request))
    for largest in (length, length - 1):
        network.next.append(Line(largest=largest))
        link = Link(Address("127.0.0.1", 1), KEY)
        try:
            if largest == length:
                link.ask(request)
                network.lines[-1].numbers(1)
            else:
                with pytest.raises(UsageError):
                    link.ask(request)
        finally:
            link.close()


def test_after_a_break_the_next_servers_limit_counts(link, network):
    network.next.append(Line(largest=100))
    network.lines[0].close()
    eventually(lambda: len(network.lines) == 2 and link._channel is network.lines[1], "again")
    with pytest.raises(UsageError, match="at most 100"):
        link.ask(GetStatus("x" * 200))


# -- breaks -----------------------------------------------------------------------------------


def test_what_is_unanswered_is_asked_again_after_a_break(link, network):
    network.next += [FarmError("nobody answers"), FarmError("nobody answers")]
    future = link.ask(GetNodes())
    network.lines[0].numbers(1)
    network.lines[0].close()
    eventually(lambda: len(network.lines) == 2, "it connects again")
    network.lines[1].say(network.lines[1].numbers(1)[0], Nodes([]))
    assert future.result(PATIENCE) == Nodes([])


REFUSED = NotAuthorisedError("does not accept this key")


def test_who_is_refused_for_a_moment_goes_on_and_is_warned_once(link, network, caplog):
    network.next += [REFUSED] * 20
    future = link.ask(GetNodes())
    network.lines[0].numbers(1)
    network.lines[0].close()
    eventually(lambda: len(network.lines) == 2, "it connects again")
    network.lines[1].say(network.lines[1].numbers(1)[0], Nodes([]))
    assert future.result(PATIENCE) == Nodes([])
    warned = [r.getMessage() for r in caplog.records if "refused" in r.getMessage()]
    assert warned == [
        "refused, trying for 10 s in case the right key or certificate comes: "
        "does not accept this key"
    ]


def test_who_is_not_let_in_any_more_is_told_in_every_call(link, network, monkeypatch):
    monkeypatch.setattr(greeting, "REFUSED_SECONDS", 0.1)
    network.next += [REFUSED] * 1000
    future = link.ask(GetNodes())
    network.lines[0].close()
    with pytest.raises(NotAuthorisedError):
        future.result(PATIENCE)
    with pytest.raises(NotAuthorisedError):
        link.ask(GetNodes())
    assert 1 < 1000 - len(network.next) < 30, "it has tried, with pauses, until the time was over"


def test_who_is_refused_at_the_first_connection_is_told_at_once(network):
    network.next += [REFUSED] * 2
    with pytest.raises(NotAuthorisedError):
        Link(Address("127.0.0.1", 1), KEY)
    assert len(network.next) == 1


def test_a_server_that_drops_each_connection_is_asked_more_and_more_seldom(
    link, network, monkeypatch
):
    attempts: list[int] = []
    monkeypatch.setattr(greeting, "pause_before", lambda n: attempts.append(n) or 0.001)

    def dropped() -> Line:
        line = Line()
        if len(network.lines) < 5:
            line.close()
        return line

    network.make = dropped
    reply = link.ask(GetNodes())
    network.lines[0].close()
    eventually(lambda: len(network.lines) == 6, "one stays")
    assert attempts == [0, 1, 2, 3, 4]
    network.lines[5].say(network.lines[5].numbers(1)[0], Nodes([]))
    assert reply.result(PATIENCE) == Nodes([])
    network.lines[5].close()
    eventually(lambda: len(network.lines) == 7, "it connects again")
    assert attempts == [0, 1, 2, 3, 4, 0], "the last one was of use"
