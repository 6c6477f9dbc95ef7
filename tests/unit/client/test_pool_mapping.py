"""One function over many arguments: blocks, results that count once, and every kind of end."""

from __future__ import annotations

import itertools
import pickle
import sys
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from fake_farm import done, failed
from fake_link import FakeLink
from farm_harness import PATIENCE, eventually

from farm.batch import spec as specs
from farm.client import mapping as module
from farm.client.changed import Changed
from farm.client.mapping import Mapping, blocks_of
from farm.client.pending import MapResult
from farm.errors import BatchCancelledError, FarmError, RequestError, UsageError
from farm.wire.messages import Append, Submit, Submitted

LARGEST = 1 << 20


def taking(arguments: Iterable[Any]) -> Any:
    remaining = iter(arguments)
    return lambda count: list(itertools.islice(remaining, count))


def unpickled(take: Any, size: int | None, largest: int = LARGEST) -> list[list[Any]]:
    return [pickle.loads(payload) for payload, _ in blocks_of(take, size, largest)]


class Unpicklable:
    def __call__(self, x: int) -> int:
        return x

    def __reduce__(self) -> Any:
        raise ValueError("this cannot be pickled")


# -- blocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [
        (0, None, []),
        (0, 3, []),
        (7, 3, [3, 3, 1]),
        (7, 7, [7]),
        (7, 10**30, [7]),
        (5, 1, [1] * 5),
        (10, None, [10]),
        (16 + 128 + 5, None, [16, 128, 5]),
    ],
)
def test_blocks_are_as_large_as_was_said_or_grow(count, size, sizes):
    blocks = unpickled(taking(range(count)), size)
    assert [len(block) for block in blocks] == sizes
    assert [item for block in blocks for item in block] == list(range(count))


def test_blocks_of_large_arguments_have_few(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 1000)
    sizes = [len(block) for block in unpickled(taking([bytes([x]) * 90 for x in range(50)]), None)]
    assert sizes[0] == 16
    assert set(sizes[1:-1]) <= {9, 10}
    assert sum(sizes) == 50


def test_a_block_has_so_many_at_most(monkeypatch):
    monkeypatch.setattr(module, "MAX_ITEMS", 50)
    assert max(len(block) for block in unpickled(taking(range(1000)), None)) == 50


def test_a_block_that_is_too_large_is_split_and_an_argument_refused():
    items = [b"x" * 300, b"y" * 300, b"z" * 300]
    assert unpickled(taking(items), 3, 500) == [[item] for item in items]
    with pytest.raises(UsageError, match=r"argument 1 has [0-9,]+ bytes; the limit is 500"):
        unpickled(taking([b"", b"x" * 600]), 2, 500)


def test_what_cannot_be_pickled_is_refused_with_its_place():
    with pytest.raises(UsageError, match="arguments 2 to 3 cannot be sent: this cannot be"):
        unpickled(taking([1, 2, 3, Unpicklable()]), 2)


# -- a whole mapping --------------------------------------------------------------------------


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

    def send(self, take: Any, size: int | None = None, *, at_once: bool = False) -> None:
        def run() -> None:
            try:
                self.mapping.send(take, size, at_once=at_once)
            except Exception as error:
                self.error = error

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def sent(self) -> None:
        """All is sent and acknowledged."""
        eventually(lambda: self.link.accept() or not self.thread.is_alive(), "all is sent")
        self.link.accept()


@pytest.fixture
def mapped() -> Mapped:
    made = Mapped(6)
    made.send(taking(range(6)), 2)
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


def test_a_refused_block_ends_it_and_the_sender(monkeypatch):
    made = Mapped(100)
    made.send(taking(itertools.count()), 1, at_once=True)
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
    made.send(taking(itertools.count()), 1, at_once=True)
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


def test_arguments_that_raise_give_it_up():
    made = Mapped(100)

    def take(count: int) -> list[int]:
        if made.link.said:
            raise KeyError("no more")
        return [1] * count

    made.send(take, 1, at_once=True)
    made.thread.join(PATIENCE)
    assert isinstance(made.error, KeyError)
    made.link.accept()
    assert made.link.cancelled == ["1"]


def test_only_so_much_is_on_its_way(monkeypatch):
    made = Mapped(1000)
    made.send(taking(range(1000)), 10)
    made.link.say(made.link.request(Submit), Submitted(1))
    eventually(lambda: made.link.unanswered(Append) == 16, "sixteen are on their way")
    assert made.thread.is_alive()
    made.sent()
    assert made.link.blocks() == [(start, start + 10) for start in range(0, 1000, 10)]


def test_an_empty_end_waits_for_all_before_it():
    made = Mapped(2)
    made.send(taking(range(2)), 1, at_once=True)
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


def test_sizes_beyond_all_reason_are_no_error():
    assert unpickled(taking(range(3)), sys.maxsize + 1) == [[0, 1, 2]]
