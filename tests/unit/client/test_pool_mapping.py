"""One function over many arguments: blocks, results that count once, and every kind of end."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from fake_farm import done, failed
from fake_link import FakeLink
from farm_harness import PATIENCE, eventually

from farm.batch import spec as specs
from farm.client import blocks
from farm.client.changed import Changed
from farm.client.mapping import Mapping
from farm.client.pending import MapResult
from farm.errors import BatchCancelledError, FarmError, RequestError, UsageError
from farm.wire.messages import Append, Submit, Submitted


def taking(arguments: Iterable[Any]) -> Any:
    remaining = iter(arguments)
    return lambda count: list(itertools.islice(remaining, count))


class Unpicklable:
    def __call__(self, x: int) -> int:
        return x

    def __reduce__(self) -> Any:
        raise ValueError("this cannot be pickled")


class Mapped:
    """A mapping of ``abs`` over a link that is the test's, sent by a thread."""

    def __init__(self, total: int) -> None:
        self.link, self.changed = FakeLink(), Changed()
        self.result = MapResult(self.changed, total)
        self.over: list[Mapping] = []
        self.error: BaseException | None = None
        self.mapping = Mapping(
            self.link, self.changed, abs, "one", specs.Options(), self.result, self.over.append,
        )  # type: ignore[arg-type]  # fmt: skip

    def send(self, take: Any, *, at_once: bool = False) -> None:
        def run() -> None:
            try:
                self.count = self.mapping.send(take, at_once=at_once)
            except Exception as error:
                self.error = error

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def sent(self) -> None:
        """All is sent and acknowledged."""
        eventually(lambda: self.link.accept() or not self.thread.is_alive(), "all is sent")
        self.link.accept()


@pytest.fixture
def in_twos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two arguments in each block."""
    monkeypatch.setattr(blocks, "FIRST_ITEMS", 2)
    monkeypatch.setattr(blocks, "MAX_ITEMS", 2)


@pytest.fixture
def mapped(in_twos: None) -> Mapped:
    made = Mapped(6)
    made.send(taking(range(6)))
    made.sent()
    return made


def test_the_last_block_says_that_it_is(mapped):
    requests = [one for one in mapped.link.said if isinstance(one, Submit | Append)]
    assert [getattr(one, "close", None) for one in requests] == [None, False, True]
    assert mapped.link.blocks() == [(0, 2), (2, 4), (4, 6)]


def test_few_arguments_are_one_closed_submission():
    made = Mapped(3)
    made.send(taking(range(3)))
    made.sent()
    (submit,) = [one for one in made.link.said if isinstance(one, Submit)]
    assert not submit.open
    assert Append not in map(type, made.link.said)


def test_results_fill_the_list_and_the_batch_is_forgotten(mapped):
    mapped.link.page([done(3, [3, 4, 5])])
    mapped.link.page([done(0, [0, 1, 2])])
    assert mapped.result.get(0) == list(range(6))
    assert mapped.over == []
    mapped.link.page(ended=True)
    assert mapped.over == [mapped.mapping]
    assert mapped.link.kinds()[-1] == "Forget"
    assert mapped.link.cancelled == []


def test_what_comes_twice_counts_once(mapped):
    """A failed task that somebody retries while others run has two ends."""
    mapped.link.page([failed(1), done(2, [2, 3])])
    mapped.link.page([done(1, [1]), done(0, [0, 1, 2, 3, 4])])
    assert not mapped.result.ready()
    mapped.link.page([done(5, [5])])
    assert mapped.result.ready()
    assert not mapped.result.successful()
    assert mapped.result._values == [0, None, 2, 3, 4, 5]


def test_whole_it_stays_so_however_it_ends(mapped):
    mapped.link.page([done(0, list(range(6)))])
    mapped.link.close()
    assert mapped.result.get(0) == list(range(6))
    assert mapped.over == [mapped.mapping]


def test_whole_its_results_are_not_said_to_have_failed(mapped, monkeypatch):
    """Those of an imap may not know yet how many there will be."""
    errors: list[BaseException] = []
    monkeypatch.setattr(mapped.result, "fail", errors.append)
    mapped.link.page([done(0, list(range(6)))])
    mapped.link.page(ended=True)
    assert errors == []


def test_somebody_else_cancels_it(mapped):
    mapped.link.page([done(0, [0])])
    mapped.link.page(ended=True)
    with pytest.raises(BatchCancelledError, match="batch 1 was cancelled or forgotten"):
        mapped.result.get(0)


def test_a_closed_link_ends_it_with_its_reason(mapped):
    mapped.link.fail(FarmError("the local node has ended"))
    with pytest.raises(FarmError, match="the local node has ended"):
        mapped.result.get(0)
    assert mapped.over == [mapped.mapping]


def test_a_refused_block_ends_it_and_the_sender():
    made = Mapped(100)
    made.send(taking(itertools.count()), at_once=True)
    made.link.say(made.link.request(Submit), Submitted(1))
    made.link.say(made.link.request(Append), RequestError("too-large", "over --max-batch"))
    with pytest.raises(UsageError, match="--max-batch"):
        made.result.get(PATIENCE)
    made.thread.join(PATIENCE)
    assert not made.thread.is_alive(), "the arguments have no end"
    assert made.link.cancelled == ["1"]
    made.link.page(ended=True)
    assert made.link.kinds()[-1] == "Forget"
    assert made.over == [made.mapping]


def test_given_up_it_is_cancelled_and_the_sender_stops():
    made = Mapped(100)
    made.send(taking(itertools.count()), at_once=True)
    made.link.say(made.link.request(Submit), Submitted(1))
    made.mapping.cancel()
    assert made.link.cancelled == ["1"]
    made.link.page([done(0, [0])])
    made.link.page(ended=True)
    with pytest.raises(FarmError, match="the pool was terminated"):
        made.result.get(PATIENCE)
    made.thread.join(PATIENCE)
    assert not made.thread.is_alive()


def test_given_up_before_anything_was_sent_it_is_over_at_once():
    made = Mapped(1)
    made.mapping.cancel()
    assert made.over == [made.mapping]
    with pytest.raises(FarmError, match="the pool was terminated"):
        made.result.get(0)
    assert made.link.said == []


def test_where_not_even_its_beginning_can_be_told_it_is_over():
    made = Mapped(1)
    made.link.closed = FarmError("the link is given up")
    made.send(taking([1]))
    with pytest.raises(FarmError, match="the link is given up"):
        made.result.get(PATIENCE)
    made.thread.join(PATIENCE)
    assert made.over == [made.mapping]


def test_who_waits_is_woken_where_the_arguments_raise():
    made, go = Mapped(2), threading.Event()

    def take(count: int) -> list[int]:
        if made.link.said:
            go.wait(PATIENCE)
            raise KeyError("no more")
        return [1]

    made.send(take, at_once=True)
    made.link.say(made.link.request(Submit), Submitted(1))
    errors: list[BaseException | None] = []

    def wait() -> None:
        with made.changed:
            waiting.set()
            made.changed.wait_for(made.result.ready, PATIENCE)
        errors.append(made.result._value)

    waiting = threading.Event()
    waiter = threading.Thread(target=wait)
    waiter.start()
    waiting.wait(PATIENCE)
    with made.changed:  # it waits, and has given the lock back
        go.set()
    waiter.join(PATIENCE / 3)
    assert [type(error) for error in errors] == [KeyError]


def test_arguments_that_raise_give_it_up():
    made = Mapped(100)

    def take(count: int) -> list[int]:
        if made.link.said:
            raise KeyError("no more")
        return [1] * count

    made.send(take, at_once=True)
    made.thread.join(PATIENCE)
    assert isinstance(made.error, KeyError)
    made.link.accept()
    assert made.link.cancelled == ["1"]


def test_only_so_much_is_on_its_way(in_twos):
    made = Mapped(200)
    made.send(taking(range(200)))
    made.link.say(made.link.request(Submit), Submitted(1))
    eventually(lambda: made.link.unanswered(Append) == 16, "sixteen are on their way")
    assert made.thread.is_alive()
    made.sent()
    assert made.link.blocks() == [(start, start + 2) for start in range(0, 200, 2)]


def test_an_empty_end_waits_for_all_before_it(in_twos):
    made = Mapped(4)
    made.send(taking(range(4)), at_once=True)
    made.link.say(made.link.request(Submit), Submitted(1))
    append = made.link.request(Append)
    assert not append.close
    assert made.thread.is_alive()
    assert made.link.unanswered(Append) == 1
    made.sent()
    assert made.link.said[-1] == Append(1, [], True)


def test_a_function_that_cannot_be_sent_is_refused():
    link, changed = FakeLink(), Changed()
    bad = Unpicklable()
    with pytest.raises(UsageError, match="cannot be sent to nodes"):
        Mapping(link, changed, bad, "one", specs.Options(), None, None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot be called"):
        Mapping(link, changed, 7, "one", specs.Options(), None, None)  # type: ignore[arg-type]


def test_what_cannot_be_sent_fails_alone_and_the_others_keep_their_places(in_twos):
    made = Mapped(6)
    made.send(taking([Unpicklable(), -1, -2, Unpicklable(), Unpicklable(), -5]))
    made.sent()
    assert made.error is None
    assert made.count == 6
    assert made.link.blocks()[-1][1] == 3
    made.link.page([done(0, [1, 2])])
    assert not made.result.ready()
    made.link.page([done(2, [5])])
    assert made.result._values == [None, 1, 2, None, None, 5]
    with pytest.raises(ValueError, match="this cannot be pickled") as error:
        made.result.get(0)
    assert error.value.__notes__ == ["while argument 0 was pickled, to be sent"]
    made.link.page(ended=True)
    assert made.over == [made.mapping]
    assert made.link.cancelled == []


def test_a_failure_after_one_that_cannot_be_sent_has_its_own_place():
    made = Mapped(3)
    errors: list[tuple[int, BaseException]] = []
    made.result.put_error = lambda *what: errors.append(what)  # type: ignore[method-assign]
    made.send(taking([1, Unpicklable(), 2]))
    made.sent()
    made.link.page([failed(1)])
    assert [place for place, _ in errors] == [1, 2]


def test_where_nothing_can_be_sent_the_batch_is_empty_and_over():
    made = Mapped(2)
    made.send(taking([Unpicklable(), Unpicklable()]))
    made.sent()
    with pytest.raises(ValueError, match="this cannot be pickled"):
        made.result.get(0)
    assert made.link.blocks() == []
    made.link.page(ended=True)
    assert made.over == [made.mapping]
