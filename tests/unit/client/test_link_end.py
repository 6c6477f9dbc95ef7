"""A link ends: whoever waits for an answer is told once, whatever happens meanwhile."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest
from farm_harness import KEY, PATIENCE, eventually
from interrupting import everywhere

from farm.client import link as module
from farm.client.link import Link
from farm.client.once import Reply
from farm.errors import FarmError
from farm.wire.address import Address
from farm.wire.messages import Done, GetNodes, Nodes, Refused


class Counting(Reply):
    """Knows how often it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    def set_exception(self, error: FarmError) -> None:
        self.told += 1
        super().set_exception(error)


class Acting(Reply):
    """Does something as it is told."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self._act = act

    def set_result(self, body: Any) -> None:
        self._act()
        super().set_result(body)

    def set_exception(self, error: FarmError) -> None:
        self._act()
        super().set_exception(error)


@pytest.fixture
def ctrl_c():
    """It raises here as well where the shell that began this has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def raising(error: BaseException) -> Acting:
    def act() -> None:
        raise error

    return Acting(act)


@pytest.mark.parametrize("error", [SystemExit(), ValueError("a callback's")])
def test_one_that_fails_as_it_is_told_of_the_end_keeps_no_other_from_it(link, error, caplog):
    first, last = Counting(), Counting()
    for answer in (first, raising(error), last):
        link.tell(GetNodes(), answer)
    link.close()
    for reply in (first, last):
        with pytest.raises(FarmError, match="this session is closed"):
            reply.result(0.0)
        assert reply.told == 1
    assert "whoever was told that no answer comes has failed" in caplog.text


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_meanwhile_is_not_lost(link):
    last = Counting()
    for answer in (Acting(lambda: signal.raise_signal(signal.SIGINT)), last):
        link.tell(GetNodes(), answer)
    with pytest.raises(KeyboardInterrupt):
        link.close()
    assert last.told == 1


def test_interrupted_anywhere_as_it_closes_it_tells_everybody_once(network):
    for interrupt in everywhere("client/link.py", "client/once.py", "client/unanswered.py"):
        link = Link(Address("127.0.0.1", 1), KEY)
        replies = [Counting() for _ in range(3)]
        for reply in replies:
            link.tell(GetNodes(), reply)
        interrupt.during(link.close)
        if not interrupt.where.startswith("call Link.close:"):  # there nothing has been done yet
            assert [reply.done() for reply in replies] == [True] * 3, interrupt.where
        link.close()
        assert [reply.told for reply in replies] == [1] * 3, interrupt.where


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_while_it_waits_for_its_thread_keeps_nobody_from_being_told(link, monkeypatch):
    """That thread is in somebody's callback, which takes its time."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.1)
    entered, go_on = threading.Event(), threading.Event()
    slow = Acting(lambda: entered.set() or go_on.wait(PATIENCE))
    others = [Counting() for _ in range(3)]
    link.tell(GetNodes(), slow)
    line = link._channel
    line.say(line.numbers(1)[0], Done())
    assert entered.wait(PATIENCE)
    for other in others:
        link.tell(GetNodes(), other)
    wait = link._ended.wait

    def interrupted(seconds: float) -> bool:
        monkeypatch.setattr(link._ended, "wait", wait)
        signal.raise_signal(signal.SIGINT)
        return wait(seconds)

    monkeypatch.setattr(link._ended, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        link.close()
    assert [other.told for other in others] == [1] * 3
    go_on.set()
    assert slow.result(PATIENCE) == Done(), "it had its answer already"


def test_it_is_the_links_own_thread_that_tells_unless_that_is_busy(link, monkeypatch):
    threads: list[threading.Thread] = []
    link.tell(GetNodes(), Acting(lambda: threads.append(threading.current_thread())))
    link.close()
    assert threads == [link._reader]


# -- one answer that cannot be taken ----------------------------------------------------------


class Pages:
    """A stream that fails where it is told to."""

    def __init__(self, where: str, error: BaseException) -> None:
        self._fails = {where: error}
        self.errors: list[FarmError] = []

    def _may_fail(self, where: str) -> None:
        if where in self._fails:
            raise self._fails[where]

    def goes_on(self, _: Any) -> bool:
        self._may_fail("goes_on")
        return True

    def set_result(self, _: Any) -> None:
        self._may_fail("set_result")

    def set_exception(self, error: FarmError) -> None:
        self.errors.append(error)


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(), FarmError("no"), KeyError("x")])
@pytest.mark.parametrize("where", ["goes_on", "set_result"])
def test_pages_that_cannot_be_taken_end_and_nothing_else_does(link, line, where, error):
    pages, other = Pages(where, error), Reply()
    link.follow(GetNodes(), pages)
    link.tell(GetNodes(), other)
    first, second = line.numbers(2)
    for number in (first, first, second):
        line.say(number, Nodes([]))
    assert other.result(PATIENCE) == Nodes([])
    assert len(pages.errors) == 1
    text = "no" if isinstance(error, FarmError) else f"taken: {type(error).__name__}"
    assert text in str(pages.errors[0])
    assert len(link._asked) == 0


def test_an_answer_that_cannot_be_taken_fails_and_nothing_else_does(link, line):
    class Failing(Counting):
        def set_result(self, _: Any) -> None:
            raise MemoryError

    answer, other = Failing(), Reply()
    link.tell(GetNodes(), answer)
    link.tell(GetNodes(), other)
    for number in line.numbers(2):
        line.say(number, Nodes([]))
    assert other.result(PATIENCE) == Nodes([])
    with pytest.raises(FarmError, match="could not be taken: MemoryError"):
        answer.result(0.0)
    assert answer.told == 1


def test_a_refusal_of_which_nobody_can_be_told_ends_no_other(link, line):
    other = Reply()
    link.tell(GetNodes(), raising(MemoryError()))
    link.tell(GetNodes(), other)
    first, second = line.numbers(2)
    line.say(first, Refused("unknown-batch", "there is no batch 1"))
    line.say(second, Nodes([]))
    assert other.result(PATIENCE) == Nodes([])
    eventually(lambda: len(link._asked) == 0, "both are over")
